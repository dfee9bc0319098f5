// What ends with a Worker that is taken away: operations that it goes on with by itself, and outcomes that ConductorOne still has to be told.

/** How an operation stands in the journal that has not ended. */
const OPEN = ["received", "writing", "put_off"];

/** How much is under way, as a sentence without its end; nothing where nothing is. Asks for the metrics, which tell all of it as of one moment. */
export async function underWay(worker) {
  const lines = (await worker.text("/metrics")).split("\n").filter((line) => !line.startsWith("#"));
  const numbers = new Map(lines.map((line) => line.split(" ")));
  const waiting = Number(numbers.get("connector_callbacks_waiting"));
  // That is told of every Worker of this kind, also where it is none.
  if (Number.isNaN(waiting)) throw new Error(`${worker.base} does not tell what is under way: is that the Worker's address?`);
  const open = OPEN.map((state) => Number(numbers.get(`connector_operations{outcome="${state}"}`) ?? 0)).reduce((sum, each) => sum + each);
  const told = [];
  if (open > 0) told.push(`${open} ${open === 1 ? "operation is" : "operations are"} under way`);
  if (waiting > 0) told.push(`ConductorOne waits for ${waiting} ${waiting === 1 ? "outcome" : "outcomes"}`);
  return told.length === 0 ? undefined : told.join(", and ");
}
