#!/usr/bin/env bash
# curl's --retry honours Retry-After of a 429, but not with
# --output /dev/null: there it ends at the first 429, with error 23.
#
# Seen with curl 7.88.1 of Debian 12, whose package is downloaded and
# unpacked into a temporary folder, against a server on loopback that
# answers 429 with "Retry-After: 1" and a body once, and then 200:
#
#   --output FILE       2 requests, a second apart, exit status 0;
#                       the file has the second body alone
#   --output /dev/null  1 request, exit status 23, and on stderr
#                       "curl: (23) Failed to truncate file"
#   standard output     2 requests, exit status 0; the refusal's body
#   (a pipe)            stands before the answer's
#
# Why: before a retry curl takes back what it has written, by truncating
# the output, and a device cannot be truncated. So a script that asks
# for the status alone, by --output /dev/null --write-out
# '%{http_code}', has no retries, and with --silent not even a message.
# It does retry with a refusal that has no body, where there is nothing
# to take back. Reported as curl/curl#17371.
#
# Exits with 0 where that is seen again, else with 1. Needs Debian 12,
# apt-get and python3.
set -euo pipefail

folder=$(mktemp -d)
server=
finish() {
    if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi
    rm -rf "$folder"
}
trap finish EXIT
cd "$folder"

apt-get download curl libcurl4 >/dev/null 2>&1 || {
    echo "apt-get download curl libcurl4 failed; apt-get update may help"
    exit 1
}
for package in ./*.deb; do dpkg-deb --extract "$package" unpacked; done
library=$(dirname "$(find unpacked -name 'libcurl.so.4' | head -n 1)")
curl() { LD_LIBRARY_PATH="$folder/$library" "$folder/unpacked/usr/bin/curl" "$@"; }
version=$(curl --version | head -n 1 | cut -d ' ' -f 2)
echo "curl $version"

cat >server.py <<'PYTHON'
import http.server
import sys

refusal = sys.argv[1].encode()
count = 0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        global count
        count += 1
        with open("requests", "w") as file:
            file.write(str(count))
        body = b"fine"
        if count == 1:
            body = refusal
            self.send_response(429)
            self.send_header("Retry-After", "1")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *message):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
with open("port", "w") as file:
    file.write(str(server.server_port))
server.serve_forever()
PYTHON

# request REFUSAL OPTION...: prints "REQUESTS EXIT"; bodies go to stdout
# where the options say so, kept in the file "printed".
request() {
    rm -f port requests
    python3 server.py "$1" &
    server=$!
    shift
    for _ in $(seq 100); do
        if [ -s port ]; then break; fi
        sleep 0.1
    done
    status=0
    curl --silent --show-error --max-time 20 --retry 3 "$@" \
        "http://127.0.0.1:$(cat port)/" >printed 2>message || status=$?
    kill "$server"
    wait "$server" 2>/dev/null || true
    server=
    seen="$(cat requests) requests, exit status $status"
}

changed=0
expect() {
    echo "$1: $2"
    if [ "$2" != "$3" ]; then
        echo "    CHANGED, it was: $3"
        changed=1
    fi
}

expect "version" "$version" "7.88.1"
request "too many" --output file
expect "--output FILE" "$seen, $(cat file)" "2 requests, exit status 0, fine"
request "too many" --output /dev/null
expect "--output /dev/null" "$seen, $(cat message)" \
    "1 requests, exit status 23, curl: (23) Failed to truncate file"
request "too many"
expect "standard output" "$seen, $(cat printed)" \
    "2 requests, exit status 0, too manyfine"
request "" --output /dev/null
expect "--output /dev/null, a refusal without a body" "$seen" \
    "2 requests, exit status 0"
exit "$changed"
