// A grid of any number of cards, of which only those in sight are elements of the page.

const GAP = 10;
const ROWS_AROUND = 2;

export class Grid {
  constructor(scroller, surface, draw) {
    this.scroller = scroller;
    this.surface = surface;
    this.draw = draw;
    this.items = [];
    this.made = new Map();
    this.size = { width: 200, height: 300 };
    scroller.addEventListener("scroll", () => this.soon(), { passive: true });
    new ResizeObserver(() => this.soon()).observe(scroller);
  }

  show(items, size) {
    const isOther = items.length !== this.items.length || items.some((item, at) => item !== this.items[at]);
    this.items = items;
    this.size = size;
    if (isOther) this.scroller.scrollTop = Math.min(this.scroller.scrollTop, this.scroller.scrollHeight);
    this.render();
  }

  // Elements that were drawn before are drawn anew.
  forget() {
    for (const element of this.made.values()) element.remove();
    this.made.clear();
  }

  soon() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.render();
    });
  }

  render() {
    const { width, height } = this.size;
    const room = this.surface.clientWidth;
    if (room === 0) return;
    const columns = Math.max(1, Math.floor((room + GAP) / (width + GAP)));
    const rows = Math.ceil(this.items.length / columns);
    this.surface.style.height = `${Math.max(0, rows * (height + GAP) - GAP)}px`;
    const from = Math.max(0, Math.floor(this.scroller.scrollTop / (height + GAP)) - ROWS_AROUND);
    const to = Math.ceil((this.scroller.scrollTop + this.scroller.clientHeight) / (height + GAP)) + ROWS_AROUND;
    const inSight = new Map();
    for (let at = from * columns; at < Math.min(this.items.length, to * columns); at++) inSight.set(this.items[at], at);
    for (const [item, element] of this.made) {
      if (inSight.has(item)) continue;
      element.remove();
      this.made.delete(item);
    }
    for (const [item, at] of inSight) {
      let element = this.made.get(item);
      if (element === undefined) {
        element = this.draw(item);
        this.made.set(item, element);
        this.surface.append(element);
      }
      element.style.width = `${Math.min(width, room)}px`;
      element.style.height = `${height}px`;
      element.style.left = `${(at % columns) * (width + GAP)}px`;
      element.style.top = `${Math.floor(at / columns) * (height + GAP)}px`;
      element.style.order = at;
    }
  }
}
