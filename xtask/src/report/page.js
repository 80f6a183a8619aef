// The timeline: each pixel column of a row is as opaque as the part of its time in which the vCPU ran, so one drawing
// serves from ten seconds to a single context switch. A page may have several; one in a closed fold is drawn when it opens.
function timeline(box) {
  const WIDTH = 1000, LEFT = 150, RIGHT = 12, HEIGHT = 30, GAP = 8, AXIS = 26, SHORTEST = 2000;
  const COLUMNS = WIDTH - LEFT - RIGHT, area = box.parentElement;
  const first = Number(box.dataset.start), last = Math.max(Number(box.dataset.end), first + SHORTEST);
  let from = first, to = last;
  const rows = timelines[box.dataset.rows].map(row => {
    let time = 0;
    const starts = [], ends = [];
    for (let i = 0; i < row.at.length; i += 2) {
      starts.push(time += row.at[i]);
      ends.push(time += row.at[i + 1]);
    }
    return { name: row.name, colour: row.colour % 6, starts, ends };
  });

  // Index of the first stretch that ends after `time`.
  function search(ends, time) {
    let low = 0, high = ends.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ends[middle] <= time) low = middle + 1; else high = middle;
    }
    return low;
  }

  function columns(row) {
    const part = new Float64Array(COLUMNS), scale = COLUMNS / (to - from);
    for (let i = search(row.ends, from); i < row.ends.length && row.starts[i] < to; i++) {
      const a = Math.max(0, (row.starts[i] - from) * scale), b = Math.min(COLUMNS, (row.ends[i] - from) * scale);
      for (let x = Math.floor(a); x < b; x++) part[x] += Math.min(b, x + 1) - Math.max(a, x);
    }
    return part;
  }

  function bars(row, y) {
    const part = columns(row);
    let out = "", x = 0;
    while (x < COLUMNS) {
      const level = Math.ceil(part[x] * 20) / 20;
      let end = x + 1;
      while (end < COLUMNS && Math.ceil(part[end] * 20) / 20 === level) end++;
      if (level > 0) {
        out += `<rect x="${LEFT + x}" y="${y}" width="${end - x}" height="${HEIGHT}" style="fill:var(--guest-${row.colour})" opacity="${Math.min(1, level)}"/>`;
      }
      x = end;
    }
    return out;
  }

  function text(ns, step) {
    if (step >= 1e6) return `${(ns / 1e9).toFixed(step >= 1e9 ? 0 : step >= 1e8 ? 1 : step >= 1e7 ? 2 : 3)} s`;
    if (step >= 1e3) return `${(ns / 1e6).toFixed(step >= 1e5 ? 1 : step >= 1e4 ? 2 : 3)} ms`;
    return `${(ns / 1e3).toFixed(step >= 100 ? 1 : 2)} µs`;
  }

  function axis(y) {
    const rough = (to - from) / 8, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * (rough / power > 5 ? 10 : rough / power > 2 ? 5 : rough / power > 1 ? 2 : 1);
    let out = "";
    for (let ns = Math.ceil(from / step) * step; ns <= to; ns += step) {
      const x = LEFT + (ns - from) / (to - from) * COLUMNS;
      out += `<line x1="${x}" x2="${x}" y1="0" y2="${y}" style="stroke:var(--grid)"/>` +
        `<text x="${x}" y="${y + 18}" text-anchor="middle" font-size="12" style="fill:var(--soft)">${text(ns, step)}</text>`;
    }
    return out;
  }

  function draw() {
    const height = rows.length * (HEIGHT + GAP);
    let out = axis(height);
    rows.forEach((row, n) => {
      const y = n * (HEIGHT + GAP) + GAP / 2;
      out += `<text x="0" y="${y + HEIGHT / 2 + 4}" font-size="12" style="fill:var(--ink)">${row.name}</text>` + bars(row, y);
    });
    box.innerHTML = `<svg viewBox="0 0 ${WIDTH} ${height + AXIS}" role="img" aria-label="Timeline of the vCPUs">${out}</svg>`;
    area.querySelector("output").textContent = `${text(from, 1e6)} to ${text(to, 1e6)}`;
  }

  function show(a, b) {
    const length = Math.min(last - first, Math.max(SHORTEST, b - a));
    from = Math.max(first, Math.min(last - length, a));
    to = from + length;
    draw();
  }

  function zoom(factor, at = (from + to) / 2) {
    const length = Math.max(SHORTEST, (to - from) * factor);
    const left = at - (at - from) * length / (to - from);
    show(left, left + length);
  }

  const move = part => show(from + (to - from) * part, to + (to - from) * part);
  const acts = { in: () => zoom(0.5), out: () => zoom(2), left: () => move(-0.4), right: () => move(0.4), all: () => show(first, last) };
  const timeAt = event => {
    const place = box.getBoundingClientRect();
    return from + ((event.clientX - place.left) / place.width * WIDTH - LEFT) / COLUMNS * (to - from);
  };
  area.querySelectorAll("[data-do]").forEach(button => button.addEventListener("click", () => acts[button.dataset.do]()));
  box.addEventListener("wheel", event => {
    event.preventDefault();
    zoom(Math.exp(event.deltaY / 400), Math.max(from, Math.min(to, timeAt(event))));
  }, { passive: false });
  let grip = null;
  box.addEventListener("pointerdown", event => { grip = timeAt(event); box.setPointerCapture(event.pointerId); });
  box.addEventListener("pointermove", event => {
    if (grip === null) return;
    const shift = grip - timeAt(event);
    show(from + shift, to + shift);
  });
  box.addEventListener("pointerup", () => { grip = null; });
  box.addEventListener("keydown", event => {
    const act = { "+": "in", "=": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", "0": "all" }[event.key];
    if (act) { event.preventDefault(); acts[act](); }
  });
  draw();
}
document.querySelectorAll(".timeline").forEach(box => {
  const fold = box.closest("details");
  if (!fold || fold.open) timeline(box);
  else fold.addEventListener("toggle", () => timeline(box), { once: true });
});
