'use strict';
// Busy and waiting over the time of the run: two curves from /api/load, and from then on what the state brings.
const load = (() => {
  const kinds = [
    ['Idle, share of two seconds', ['generators', 'verifiers', 'learner'], [0, 1]],
    ['Rollouts that wait or are under way', ['at_verifiers', 'buffered', 'in_flight'], null],
  ];
  const drawn = [];
  const most = 4096;
  let columns = [], rows = [], asked = false;
  const colour = index => getComputedStyle(document.documentElement).getPropertyValue('--c' + index).trim();
  const clock = seconds => Math.floor(seconds / 60) + ':' + String(Math.floor(seconds % 60)).padStart(2, '0');

  function make(kind) {
    const card = document.createElement('div'), title = document.createElement('h3'), keys = document.createElement('div'), plot = document.createElement('div');
    card.className = 'card curve';
    title.textContent = kind[0];
    keys.className = 'keys';
    plot.className = 'plot';
    plot.setAttribute('role', 'img');
    card.append(title, keys, plot);
    document.getElementById('load').append(card);
    return { kind, keys, plot, graph: null };
  }

  function showKeys(chart, row) {
    const spoken = [];
    chart.keys.replaceChildren(...chart.kind[1].map((name, i) => {
      const key = document.createElement('span'), line = document.createElement('i'), figure = document.createElement('b');
      line.className = 's' + (i + 1);
      figure.textContent = charts.number(row?.[columns.indexOf(name)]);
      key.append(line, name.replace('_', ' ') + ' ', figure);
      spoken.push(key.textContent);
      return key;
    }));
    chart.plot.setAttribute('aria-label', chart.kind[0] + ': ' + spoken.join(', '));
  }

  function draw() {
    document.getElementById('load-section').hidden = rows.length < 2;
    if (rows.length < 2) return;
    if (!drawn.length) kinds.forEach(kind => drawn.push(make(kind)));
    for (const chart of drawn) {
      const at = chart.kind[1].map(name => columns.indexOf(name));
      showKeys(chart, rows[rows.length - 1]);
      const options = {
        file: rows.map(row => [row[0], ...at.map(i => row[i])]), labels: ['seconds', ...chart.kind[1]], colors: at.map((_, i) => colour(i + 1)),
        strokeWidth: 1.4, gridLineColor: getComputedStyle(document.documentElement).getPropertyValue('--line').trim(), axisLineColor: 'transparent',
        axisLabelFontSize: 11, includeZero: true, valueRange: chart.kind[2], connectSeparatedPoints: true, highlightCircleSize: 3,
        axes: { y: { axisLabelWidth: 44, axisLabelFormatter: charts.number, pixelsPerLabel: 34 }, x: { axisLabelFormatter: clock, pixelsPerLabel: 70 } },
        highlightCallback: (e, x, points, index) => showKeys(chart, rows[index]),
        unhighlightCallback: () => showKeys(chart, rows[rows.length - 1]),
      };
      if (chart.graph) { chart.graph.updateOptions(options); continue; }
      const { file, ...rest } = options;
      chart.graph = new Dygraph(chart.plot, file, rest);
    }
  }

  async function fetchAll() {
    const all = await (await fetch('/api/load')).json();
    columns = all.columns;
    rows = all.samples;
  }

  return {
    draw,
    // A gap, as after a lost connection, is filled from the server; so is a list that has grown long.
    async take(state) {
      const newest = state.load;
      const last = rows.length ? rows[rows.length - 1][0] : undefined;
      if (!asked || (newest && (last === undefined || newest.seconds > last + 5 || rows.length > most))) {
        asked = true;
        await fetchAll();
      } else if (newest && newest.seconds > last) {
        rows.push(columns.map(name => name === 'seconds' ? newest.seconds : newest.idle[name] ?? newest.rollouts[name] ?? null));
      } else {
        return;
      }
      draw();
    },
    drawn: () => drawn.filter(chart => chart.graph).length,
  };
})();
