// The page as a whole: what it shows of the latest points and of the status, and the stream that it follows.
function draw() {
  drawing = false;
  if (!hello) return;
  const now = clock() - ahead;
  points = points.filter(point => point[0] > now - hello.kept_s);
  const seen = points.filter(point => point[0] > now - shownSeconds), last = points.at(-1);
  const ago = hovered === null ? 0 : shownSeconds * (1 - hovered);
  const read = hovered === null ? last : seen.findLast(point => point[0] <= now - ago);
  const shares = seen.length > 0 && seen.every(point => point[4].every(value => value === null || (value >= 0 && value <= 1)));
  drawRows(rows.x, seen, read, point => point[3], now, false);
  drawRows(rows.y, seen, read, point => point[4], now, shares);
  document.querySelectorAll("[data-pointed]").forEach(each => {
    each.textContent = hovered === null ? "" : `${ago.toFixed(1)} s ago`;
  });
  if (!hello.labels.length) return;
  drawStrip(seen, now);
  const best = read ? read[2] : -1;
  $("best").lastChild.textContent = best < 0 ? "–" : hello.labels[best];
  $("best").firstChild.style.background = best < 0 ? "none" : labelColour(best);
  rows.y.forEach((row, i) => row.row.classList.toggle("best", i === best));
  showTitle();
}
function drawSoon() {
  if (!drawing) { drawing = true; requestAnimationFrame(draw); }
}

function showTitle() {
  const last = points.at(-1), label = hello && hello.labels.length && last && last[2] >= 0 ? `${hello.labels[last[2]]} · ` : "";
  document.title = hello ? `${label}${state} – ${hello.model}` : "edge-rnn";
}

function showChanges() {
  if (!hello || !hello.labels.length) return;
  const now = clock() - ahead, found = runs(points, now);
  const lines = found.slice(-SHOWN_CHANGES).reverse().map(([begin, end, label], i) => {
    const line = element("li"), swatch = element("i", "", "swatch");
    const lasted = end - begin < 9.95 ? `${(end - begin).toFixed(1)} s` : span(end - begin);
    swatch.style.background = labelColour(label);
    line.append(swatch, element("b", hello.labels[label]),
      element("span", i ? lasted : `for ${lasted}`),
      element("small", new Date(Date.now() - 1000 * (now - begin)).toLocaleTimeString("en-GB"), "dim"));
    return line;
  });
  $("changes").replaceChildren(...(lines.length ? lines : [element("li", "none", "dim")]));
  $("changed").textContent = found.length > SHOWN_CHANGES ? `the last ${SHOWN_CHANGES} of ${whole(found.length)} within ${span(hello.kept_s)}` : "";
}

function showState(text, kind) {
  state = text;
  $("state").textContent = text;
  $("state").className = kind;
  showTitle();
}

function showStatus() {
  if (!status) return;
  const {counters, rate_hz, messages, warnings} = status;
  const gone = status.state === "stopped";
  showState(gone ? `stopped${status.stopped_by ? ": " + status.stopped_by : ""}`
    : status.source === "running" ? status.state : `source ${status.source}`,
  !gone && status.source === "running" ? "good" : "bad");
  const pace = rate_hz ? `${digits(rate_hz)} Hz, ${status.policy.replace("_", " ")}` : "as samples come";
  $("facts").textContent = `${pace} · ${span(status.uptime_s)} · ${whole(counters.steps)} step${counters.steps === 1 ? "" : "s"}`;
  const lost = counters.missed_deadlines;
  $("verdict").textContent = !rate_hz ? "no deadlines: a step as each sample comes"
    : lost ? `${whole(lost)} of ${whole(status.lateness_ns.count)} missed` : `all ${whole(status.lateness_ns.count)} kept`;
  $("verdict").className = !rate_hz ? "dim" : lost ? "bad" : "good";
  const shown = Object.keys(COUNTERS).filter(name => counters[name] && (name !== "missed_deadlines" || !rate_hz));
  $("counters").replaceChildren(...shown.flatMap(
    name => [element("dt", COUNTERS[name]), element("dd", whole(counters[name]))]));
  drawHistogram($("late"), status.histograms.lateness_ns, status.lateness_ns, rate_hz && 1e9 / rate_hz);
  drawHistogram($("work"), status.histograms.work_ns, status.work_ns, rate_hz && 1e9 / rate_hz);
  showChanges();
  const told = Object.values(messages).sort((a, b) => b.at - a.at).map(each => {
    const line = element("li", each.last);
    line.append(element("small", ` ${new Date(1000 * each.at).toLocaleTimeString("en-GB")}, ${each.count === 1 ? "once" : whole(each.count) + " times"}`, "dim"));
    return line;
  });
  const words = warnings.filter(text => !Object.values(messages).some(each => each.last === text));
  const all = [...told, ...words.map(text => element("li", text))];
  $("messages").replaceChildren(...(all.length ? all : [element("li", "none", "dim")]));
  const age = status.snapshot_age_s;
  $("small").textContent = `${status.fingerprint.slice(0, 12)} · process ${status.pid} · `
    + (age === null ? "no snapshot · " : `snapshot ${span(age)} old · `);
}

function showSpan(seconds) {
  shownSeconds = seconds;
  document.querySelectorAll("#spans button").forEach(each => {
    each.setAttribute("aria-pressed", String(Number(each.value) === seconds));
  });
  document.querySelectorAll("[data-kept]").forEach(each => { each.textContent = `${span(seconds)} ago`; });
  drawSoon();
}

function listen() {
  source = new EventSource("/events");
  source.addEventListener("hello", message => {
    hello = JSON.parse(message.data);
    ahead = clock() - hello.now_s;
    points = hello.points;
    $("model").textContent = hello.model;
    $("labelled").hidden = $("changing").hidden = !hello.labels.length;
    rows = {x: makeRows($("inputs"), hello.inputs, hello.units, hello.more_inputs, false),
      y: makeRows($("outputs"), hello.outputs, [], hello.more_outputs, hello.labels.length > 0)};
    showSpan(shownSeconds);
  });
  source.addEventListener("points", message => { points.push(...JSON.parse(message.data)); drawSoon(); });
  source.addEventListener("status", message => {
    status = JSON.parse(message.data);
    showStatus();
    drawSoon();
  });
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(listenAgain, 5000);  // refused: the browser does not retry
    if (status && status.state === "stopped") return;  // it announced this itself
    showState("no connection", "bad");
  };
}
function listenAgain() {
  if (source) source.close();
  source = null;
  if (!document.hidden) listen();
}
document.querySelectorAll("#spans button").forEach(each => each.addEventListener("click", () => showSpan(Number(each.value))));
followPointer($("strip"));
// A hidden page costs the board nothing.
document.addEventListener("visibilitychange", listenAgain);
window.addEventListener("resize", () => { showStatus(); drawSoon(); });
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { showStatus(); drawSoon(); });
listen();
