/**
 * The toolbar's looks. `!important` on the host alone: rules of the page reach
 * only the host element, and there an important rule of the shadow tree wins.
 *
 * @module
 */

/** One stylesheet, constructed: a strict CSP allows it. */
export const STYLES = `
:host {
  all: initial !important;
  position: fixed !important;
  inset: auto 12px 12px auto !important;
  z-index: 2147483647 !important;
  display: block !important;
  direction: ltr !important;
  color-scheme: light dark !important;
  font: 13px/1.4 system-ui, -apple-system, "Segoe UI", sans-serif !important;
  --surface: #fff; --raised: #f1f3f6; --line: #dfe3e9; --text: #12161d;
  --muted: #59636f; --accent: #0b7a6c; --violet: #6d45d9; --good: #0b6b3b;
  --busy: #8a5a00; --bad: #b3261e;
  color: var(--text) !important;
}
:host([hidden]) { display: none !important; }
@media (prefers-color-scheme: dark) {
  :host {
    --surface: #11141a; --raised: #1b2029; --line: #2a303c; --text: #e9edf3;
    --muted: #97a1b0; --accent: #5eead4; --violet: #a78bfa; --good: #4ade80;
    --busy: #fbbf24; --bad: #f88379;
  }
}
*, *::before, *::after { box-sizing: border-box; }
h2, h3, p, ul, ol, dl, dd, pre { margin: 0; padding: 0; list-style: none; }
button, input, select {
  height: 28px; padding: 0 10px; border: 1px solid var(--line);
  border-radius: 7px; background: var(--raised); color: inherit; font: inherit;
}
button, select { cursor: pointer; }
button:hover { border-color: var(--muted); }
button[aria-pressed="true"] { background: var(--accent); color: var(--surface); }
button:disabled { color: var(--muted); cursor: default; }
input { background: var(--surface); min-width: 0; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
.mono { font-family: ui-monospace, "SF Mono", Menlo, monospace; font-size: 12px; }
.sub { color: var(--muted); font-size: 12px; }
.dot { width: 9px; height: 9px; border-radius: 50%; background: var(--busy); flex: none; }
.dot.connected { background: var(--good); }
.dot.closed, .dot.reconnecting { background: var(--bad); }
.pill {
  display: flex; align-items: center; gap: 8px; height: 36px; padding: 0 14px;
  border-radius: 999px; background: var(--surface); margin-left: auto;
  box-shadow: 0 2px 12px #0003; font-variant-numeric: tabular-nums;
}
.panel {
  display: grid; grid-template-rows: auto minmax(0, 1fr);
  width: min(920px, calc(100vw - 24px)); height: min(400px, calc(100vh - 24px));
  background: var(--surface); border: 1px solid var(--line); border-radius: 14px;
  box-shadow: 0 8px 40px #0004; overflow: hidden;
  font-variant-numeric: tabular-nums;
}
.head {
  display: flex; flex-wrap: wrap; align-items: center; gap: 6px 10px;
  padding: 8px 12px; border-bottom: 1px solid var(--line);
}
.head h2 { font-size: 13px; font-weight: 650; display: flex; gap: 8px; align-items: center; }
.tabs { display: flex; gap: 2px; margin-right: auto; }
.tabs button { border-color: transparent; background: none; color: var(--muted); }
.tabs button[aria-selected="true"] { background: var(--raised); color: var(--text); font-weight: 600; }
.body { min-height: 0; overflow: auto; padding: 12px; }
.overview { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1.4fr); gap: 14px; }
.health { display: grid; gap: 10px; align-content: start; }
.grade { font-size: 24px; font-weight: 650; letter-spacing: -0.02em; }
.Excellent, .Good { color: var(--good); }
.Acceptable { color: var(--busy); }
.Poor { color: var(--bad); }
.scale { display: grid; grid-template-columns: repeat(4, 1fr); gap: 3px; }
.scale li { padding-top: 6px; border-top: 4px solid var(--line); color: var(--muted); font-size: 11px; }
.scale li.on { border-color: currentColor; color: inherit; }
.scale li.on.Excellent, .scale li.on.Good { color: var(--good); }
.scale li.on.Acceptable { color: var(--busy); }
.scale li.on.Poor { color: var(--bad); }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(112px, 1fr)); gap: 8px 12px; }
.facts dt { color: var(--muted); font-size: 11.5px; }
.facts dd { font-weight: 600; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.chart { position: relative; height: 196px; background: var(--raised); border-radius: 8px; overflow: hidden; }
.chart svg { display: block; width: 100%; height: 100%; }
.chart .mark { position: absolute; left: 6px; color: var(--muted); font-size: 11px; transform: translateY(-100%); }
.chart .mark.most { left: auto; right: 6px; top: 40%; }
.chart .mark.span { left: auto; right: 6px; top: 4px; transform: none; }
.key::before { content: ""; display: inline-block; width: 8px; height: 8px; margin-right: 5px; border-radius: 50%; background: var(--accent); }
.key.latency::before { background: var(--violet); }
.key + .key { margin-left: 8px; }
.chart .latency { fill: none; stroke: var(--violet); stroke-width: 1.5; vector-effect: non-scaling-stroke; }
.chart .bars { fill: var(--accent); opacity: .35; }
.chart .limit { stroke: var(--line); stroke-dasharray: 3 3; vector-effect: non-scaling-stroke; }
.charted { display: grid; gap: 6px; align-content: start; }
.charted .row { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 2px 12px; }
.log { display: flex; flex-direction: column; gap: 8px; height: 100%; }
.notice { display: flex; align-items: center; justify-content: space-between; gap: 10px; padding: 4px 4px 4px 10px; min-height: 38px; border-radius: 8px; background: var(--raised); overflow-wrap: anywhere; }
.notice button { flex: none; background: var(--surface); }
.controls { display: flex; flex-wrap: wrap; gap: 6px; align-items: center; }
.controls input[type="search"] { flex: 1 1 120px; }
.split { display: grid; grid-template-columns: minmax(0, 1.2fr) minmax(0, 1fr); gap: 10px; flex: 1; min-height: 0; }
.list { overflow: auto; border: 1px solid var(--line); border-radius: 8px; }
.list button {
  display: grid; grid-template-columns: 90px 14px minmax(0, 1fr) auto; gap: 8px; width: 100%;
  height: 26px; align-items: center; text-align: left; border: 0; border-radius: 0; background: none;
}
.list button:hover { background: var(--raised); }
.list button[aria-current="true"] { background: var(--raised); box-shadow: inset 2px 0 var(--accent); }
.list .in { color: var(--accent); }
.list .out { color: var(--violet); }
.list .type { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.json { overflow: auto; padding: 8px 10px; background: var(--raised); border-radius: 8px; white-space: pre-wrap; overflow-wrap: anywhere; }
.channels { display: grid; gap: 10px; align-content: start; }
table { width: 100%; border-collapse: collapse; }
th, td { padding: 5px 8px 5px 0; text-align: left; font-weight: 400; border-bottom: 1px solid var(--line); white-space: nowrap; }
thead th { color: var(--muted); font-size: 12px; }
td:last-child { text-align: right; padding-right: 0; }
.rejected { color: var(--bad); }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
@media (max-width: 640px) {
  .panel { height: min(70vh, 560px); }
  .head .tabs { order: 1; flex-basis: 100%; }
  .head h2 { margin-right: auto; }
  .controls input[type="search"] { flex-basis: 100%; }
  .overview, .split { grid-template-columns: minmax(0, 1fr); }
  .split { grid-template-rows: minmax(0, 1fr) minmax(0, 1fr); }
  button, input, select { min-height: 36px; }
}
`;
