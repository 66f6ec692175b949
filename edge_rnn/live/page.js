"use strict";
const $ = id => document.getElementById(id);
// Colors of labels, distinguishable on light and dark; the names are shown too.
const COLOURS = ["#3b82c4", "#e08a2b", "#2f9e73", "#c2557a", "#8b6fc9", "#a89a22", "#3fa9bd", "#858b95"];
const COUNTERS = {missed_deadlines: "deadline misses", overruns: "work longer than a period",
  skipped_ticks: "ticks without a step", late_samples: "late samples", held: "held samples",
  dropped: "dropped samples", bad: "bad samples", nonfinite: "non-finite samples", bad_times: "timestamps out of order",
  gaps: "gaps", resets: "resets", stalls: "source stalls", source_failures: "source failures",
  sink_failures: "sink failures", unwritten: "lost results", snapshot_failures: "failed snapshots"};
const SHOWN_CHANGES = 12;
let hello = null, status = null, points = [], rows = {x: [], y: []}, ahead = 0, source = null, drawing = false;
let shownSeconds = 30, state = "";

const clock = () => performance.now() / 1000;
const digits = value => {
  if (value === null) return "–";
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e5) ? value.toExponential(1) : String(Number(value.toPrecision(3)));
};
// The same with trailing zeros, so that the width does not change.
const reading = value => value !== null && Math.abs(value) >= 1e-3 && Math.abs(value) < 1e3 ? value.toPrecision(3) : digits(value);
const whole = value => value.toLocaleString("en");
const short = count => count >= 1e9 ? `${count / 1e9}G` : count >= 1e6 ? `${count / 1e6}M` : count >= 1e3 ? `${count / 1e3}k` : String(count);
function time(ns) {
  for (const [most, by, unit] of [[1e3, 1, "ns"], [1e6, 1e3, "µs"], [1e9, 1e6, "ms"], [Infinity, 1e9, "s"]])
    if (ns < most * 0.9995) return Number((ns / by).toPrecision(3)) + " " + unit;
}
function span(seconds) {
  let left = Math.max(Math.round(seconds), 0);
  const words = [];
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]]) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count || words.length || unit === "s") words.push(count + " " + unit);
  }
  return words.slice(0, 2).filter((word, i) => i === 0 || !word.startsWith("0 ")).join(" ");
}
function element(tag, text = "", kind = "") {
  const made = document.createElement(tag);
  made.textContent = text;  // names and messages are never parsed as HTML
  made.className = kind;
  return made;
}
