// Work of the worker, one piece at a time: the urgent first, of equals in the order of asking.

export const PICTURE = 0, READING = 1, LATER = 2;

export class Queue {
  constructor() {
    Object.assign(this, { waiting: [], busy: false });
  }

  // Do some work in its turn, and return its outcome.
  run(urgency, work) {
    return new Promise((done, fail) => {
      this.waiting.push({ urgency, work, done, fail });
      this._next();
    });
  }

  async _next() {
    if (this.busy || !this.waiting.length) return;
    const least = Math.min(...this.waiting.map(({ urgency }) => urgency));
    const index = this.waiting.findIndex(({ urgency }) => urgency === least);
    const [{ work, done, fail }] = this.waiting.splice(index, 1);
    this.busy = true;
    try {
      done(await work());
    } catch (error) {
      fail(error);
    }
    this.busy = false;
    // messages that came meanwhile are heard first
    setTimeout(() => this._next());
  }
}
