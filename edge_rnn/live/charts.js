// Curves over time, the band of labels, histograms; what the pointer is on is read off in all of them.
const GUTTER = 34;  // room for the counts at the left of a histogram, in pixels
let hovered = null;  // where on the time axis the pointer is, from 0 to 1
const over = {};  // where on each histogram it is

function pen(canvas) {
  const scale = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return [context, width, height];
}
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name);
const labelColour = i => COLOURS[i % COLOURS.length];

function makeRows(place, names, units, more, coloured) {
  place.replaceChildren();
  const made = names.map((name, i) => {
    const row = element("div", "", "row"), title = element("div", "", "name"), range = element("small");
    const canvas = document.createElement("canvas"), value = element("div", "–", "value");
    if (coloured) {
      const swatch = element("i", "", "swatch");
      swatch.style.background = labelColour(i);
      title.append(swatch);
    }
    title.append(name, range);
    value.append(element("small", units[i] || ""));
    row.append(title, canvas, value);
    place.append(row);
    followPointer(canvas);
    return {row, range, canvas, value: value.firstChild, colour: coloured ? labelColour(i) : ""};
  });
  if (more) place.append(element("div", `and ${whole(more)} more`, "dim"));
  return made;
}

// All canvases with time along them share the place of the pointer.
function followPointer(canvas) {
  canvas.addEventListener("pointermove", event => {
    hovered = Math.min(Math.max(event.offsetX / canvas.clientWidth, 0), 1);
    drawSoon();
  });
  canvas.addEventListener("pointerleave", () => { hovered = null; drawSoon(); });
}

function crossLine(context, width, height) {
  if (hovered === null) return;
  context.fillStyle = colour("--ink");
  context.fillRect(Math.round(hovered * width), 0, 1, height);
}

function drawRows(made, seen, read, pick, now, shares) {
  const seconds = shownSeconds;
  made.forEach((row, i) => {
    const values = seen.map(point => pick(point)[i]), value = read ? pick(read)[i] : null;
    let low = Infinity, high = -Infinity;
    for (const each of values) if (each !== null) { low = Math.min(low, each); high = Math.max(high, each); }
    const [context, width, height] = pen(row.canvas);
    row.value.textContent = shares && value !== null ? value.toFixed(3) : reading(value);
    if (low > high) return;
    row.range.textContent = shares ? "" : `${digits(low)} to ${digits(high)}`;
    if (shares) { low = 0; high = 1; }
    const room = high - low || Math.abs(high) || 1;
    if (high === low) { low -= room / 2; high += room / 2; }
    const at = each => 2 + (height - 4) * (1 - (each - low) / (high - low));
    context.fillStyle = colour("--line");
    context.fillRect(0, height - 1, width, 1);
    context.strokeStyle = row.colour || colour("--accent");
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    context.beginPath();
    // Of all values within a column of pixels the smallest and the largest are drawn.
    let column = null, least = 0, most = 0, down = false;
    const put = () => {
      if (column === null) return;
      if (down) context.lineTo(column, at(least)); else context.moveTo(column, at(least));
      if (most > least) context.lineTo(column, at(most));
      down = true;
      column = null;
    };
    seen.forEach((point, place) => {
      const each = values[place], x = Math.round(2 * width * (1 - (now - point[0]) / seconds)) / 2;
      if (each === null) { put(); down = false; return; }
      if (x !== column) { put(); column = x; least = most = each; }
      least = Math.min(least, each);
      most = Math.max(most, each);
    });
    put();
    context.stroke();
    crossLine(context, width, height);
  });
}

// Stretches of time with the same label, oldest first: [begin, end, label].
function runs(seen, now) {
  const found = [];
  seen.forEach((point, i) => {
    const last = found.at(-1), until = i + 1 < seen.length ? seen[i + 1][0] : now;
    if (last && last[2] === point[2]) last[1] = until; else found.push([point[0], until, point[2]]);
  });
  return found.filter(run => run[2] >= 0);  // below 0: no answer yet
}

function drawStrip(seen, now) {
  const [context, width, height] = pen($("strip"));
  const at = t => Math.round(width * (1 - (now - t) / shownSeconds));
  for (const [begin, end, label] of runs(seen, now)) {
    context.fillStyle = labelColour(label);
    context.fillRect(at(begin), 0, Math.max(at(end) - at(begin), 1), height);
  }
  crossLine(context, width, height);
}

function drawHistogram(card, found, quantiles, period_ns) {
  card.hidden = !quantiles.count;
  if (!quantiles.count) return;
  const canvas = card.querySelector("canvas"), axis = card.querySelector(".axis");
  const [context, all, height] = pen(canvas), width = all - GUTTER;
  const edges = found.edges_ns.map(edge => Math.log10(Math.max(edge, 100)));
  const low = Math.floor(edges[0]), high = Math.max(Math.ceil(edges.at(-1)), low + 1);
  const at = place => GUTTER + width * (place - low) / (high - low);
  const most = Math.max(...found.counts), top = Math.log1p(most);
  const up = count => height - 1 - (height - 12) * Math.log1p(count) / top;  // logarithmic: rare values stay visible
  context.font = "11px system-ui, sans-serif";
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (let count = 1; count <= most; count *= 10) {
    context.fillStyle = colour("--line");
    context.fillRect(GUTTER, Math.round(up(count)), width, 1);
    context.fillStyle = colour("--dim");
    context.fillText(short(count), GUTTER - 5, up(count));
  }
  context.fillStyle = colour("--line");
  context.fillRect(GUTTER, height - 1, width, 1);
  for (let decade = low; decade <= high; decade++) context.fillRect(Math.min(at(decade), all - 1), 0, 1, height);
  const pointed = over[card.id] === undefined ? -1 : edges.findLastIndex(edge => at(edge) <= over[card.id]);
  found.counts.forEach((count, i) => {
    context.fillStyle = colour(i === pointed ? "--ink" : "--accent");
    if (count) context.fillRect(at(edges[i]), up(count), Math.max(at(edges[i + 1]) - at(edges[i]) - .5, 1), height - up(count));
  });
  const period = period_ns ? Math.log10(period_ns) : 0, crossed = period > low && period < high;
  if (crossed) {
    context.fillStyle = colour("--bad");
    context.fillRect(at(period), 0, 2, height);
  }
  const isBin = pointed >= 0 && pointed < found.counts.length;
  card.querySelector(".note").textContent = isBin
    ? `${time(found.edges_ns[pointed])} to ${time(found.edges_ns[pointed + 1])}: ${whole(found.counts[pointed])} of ${whole(quantiles.count)}`
    : `count of each, logarithmic${crossed ? `; the line is one period, ${time(period_ns)}` : ""}`;
  axis.replaceChildren();
  for (let decade = low; decade <= high; decade++) {
    const mark = element("span", time(10 ** decade));
    mark.style.left = `${100 * (decade - low) / (high - low)}%`;
    axis.append(mark);
  }
  card.querySelector(".quantiles").replaceChildren(...["p50", "p99", "p99.9", "max"].map(name => {
    const cell = element("span", time(quantiles[name]));
    cell.append(element("small", name));
    return cell;
  }));
}
for (const name of ["late", "work"]) {
  const canvas = $(name).querySelector("canvas");
  canvas.addEventListener("pointermove", event => { over[name] = event.offsetX; showStatus(); });
  canvas.addEventListener("pointerleave", () => { delete over[name]; showStatus(); });
}
