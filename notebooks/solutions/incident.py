"""Solutions for 16-the-incident."""

# 10.0.0.66 submits four tasks a second from 7 o'clock on. Half a minute
# later the first clients give up, and submit anew, until the end of the
# day. At 15 o'clock a worker dies, when nothing was left to be lost.
diagnosis = [
    ("flood", "10.0.0.66", 7),
    ("retries", "the others", 7),
    ("death", "worker-2", 15),
]

# Of 10.0.0.14: for each request, those of the last 60 s, at most.
most = 21

# All that the machine can do; as many slots as wait for some seconds
# when the flood's sums are in front; and what the busiest of the
# ordinary clients needs.
changes = {
    "workers": 6,
    "queue_size": 5,
    "rate_limit": 21,
}
