// The module that the runtime loads: it hands requests, times and alarms to the wasm, and starts the wasm anew after a call that broke it.
//
// A panic, and whatever else traps, leaves an instance of the wasm in the middle of something: locks held, lists half written. Nothing goes into it
// again. The calls that are under way fail at once, since nobody will answer them, and whoever made them asks again; the next call finds
// a new instance, which knows only what is stored, as that of a Worker that was just started does. A body that was being sent breaks off: its stream waits for
// nothing that will come, which the runtime notices.
import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
import * as wasm from "./index.js";

// scripts/names.mjs makes names of a trace's functions: the whole way there is worth more than the few lines that V8 keeps.
Error.stackTraceLimit = 100;

/** Which instance this is, and whether it is of no use any more. */
let instance = 0;
let isBroken = false;
/** What fails the calls that are under way. */
const underWay = new Set();

function broken() {
  if (isBroken) return;
  isBroken = true;
  console.error("the WebAssembly broke, and is started anew; the calls that were under way fail");
  for (const fail of underWay) fail(new Error("the Worker broke while this call was under way, and is started anew"));
  underWay.clear();
}

wasm.whenBroken(broken);

// Most work is done in tasks that a promise wakes, whose errors nobody else sees. The instance itself may be too broken to tell (its stack is used up, say),
// and a trap without a panic says nowhere else where it was.
for (const kind of ["error", "unhandledrejection"]) {
  addEventListener(kind, ({ error, reason = error }) => {
    const trap = [reason, reason?.cause].find((one) => one instanceof WebAssembly.RuntimeError);
    if (!trap) return;
    console.error(trap.stack);
    broken();
  });
}

/** Calls into an instance that works. */
async function enter(call) {
  if (isBroken) {
    wasm.__wbg_reset_state();
    wasm.whenBroken(broken);
    instance += 1;
    isBroken = false;
  }
  const { promise, reject: fail } = Promise.withResolvers();
  underWay.add(fail);
  try {
    return await Promise.race([start(call), promise]);
  } finally {
    underWay.delete(fail);
  }
}

/** What the wasm has to say it says by the promise that it gives; what it throws instead has ended it. */
async function start(call) {
  try {
    return call();
  } catch (error) {
    console.error(error.stack);
    broken();
    throw error;
  }
}

export default class extends WorkerEntrypoint {
  fetch(request) {
    const response = enter(() => wasm.fetch(request.method, request.url, request.headers, request.body, this.env, this.ctx));
    // A change that C1 asked for is brought to its end although C1 no longer waits for the answer.
    this.ctx.waitUntil(response);
    return response;
  }

  scheduled(event) {
    return enter(() => wasm.scheduled(event, this.env, this.ctx));
  }
}

export class Coordinator extends DurableObject {
  #object;
  #of;

  /** The object of this instance: that of an earlier one is gone with it. */
  #current() {
    if (this.#of !== instance) {
      this.#object = new wasm.Coordinator(this.ctx, this.ctx.id.toString(), this.env);
      this.#of = instance;
    }
    return this.#object;
  }

  async fetch(request) {
    const command = await request.text();
    return new Response(await enter(() => this.#current().answer(command)));
  }

  alarm() {
    return enter(() => this.#current().alarm());
  }
}
