// node play.mjs SITE NOTEBOOK...: run notebooks in the site's kernel.
// Prints a line of JSON for each: what each of its cells has shown.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [site, ...notebooks] = process.argv.slice(2);
const pyodide = path.resolve(site, "static/pyodide");
const { loadPyodide } = await import(pathToFileURL(`${pyodide}/pyodide.mjs`));
const config = JSON.parse(fs.readFileSync(`${site}/jupyter-lite.json`));
const settings = config["jupyter-config-data"].litePluginSettings;
const kernel = settings["@jupyterlite/pyodide-kernel-extension:kernel"];
const nothing = () => {};

// As the kernel's own script in the browser does it.
const START = `
import pyodide_kernel, traceback
shell = pyodide_kernel.ipython_shell
shown = []

def stream(name, text):
    shown.append({"output_type": "stream", "name": name, "text": text})

def display(data, metadata, *_):
    shown.append({"output_type": "display_data", "data": dict(data)})

def result(count, data, metadata):
    shown.append({"output_type": "execute_result", "data": dict(data)})

pyodide_kernel.stdout_stream.publish_stream_callback = stream
pyodide_kernel.stderr_stream.publish_stream_callback = stream
shell.display_pub.display_data_callback = display
shell.display_pub.clear_output_callback = lambda wait: shown.clear()
shell.displayhook.publish_execution_result = result

async def play(source):
    import json
    shown.clear()
    told = await pyodide_kernel.kernel_instance.run(source)
    if told["status"] == "error":
        text = "".join(told["traceback"])
        shown.append({"output_type": "error", "ename": told["ename"],
                      "evalue": told["evalue"], "traceback": text})
    return json.dumps(shown)
`;

for (const file of notebooks) {
  const begun = process.cpuUsage();
  const { cells } = JSON.parse(fs.readFileSync(file));
  const py = await loadPyodide({
    indexURL: `${pyodide}/`,
    lockFileURL: `${pyodide}/pyodide-lock.json`,
    packages: kernel.loadPyodideOptions.packages,
    stdout: nothing,
    stderr: nothing,
  });
  await py.runPythonAsync(START);
  const ready = process.cpuUsage(begun);
  const play = py.globals.get("play");
  const shown = [];
  for (const cell of cells.filter((each) => each.cell_type === "code")) {
    const from = performance.now();
    const outputs = JSON.parse(await play([].concat(cell.source).join("")));
    const seconds = (performance.now() - from) / 1000;
    shown.push({ id: cell.id, outputs, seconds });
  }
  const all = process.cpuUsage(begun);
  const to_start = (ready.user + ready.system) / 1e6;
  const cpu = (all.user + all.system) / 1e6;
  const line = JSON.stringify({ file, to_start, cpu, cells: shown });
  await new Promise((written) => process.stdout.write(`${line}\n`, written));
}
process.exit(0);
