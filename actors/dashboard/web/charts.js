'use strict';
// The curves: one dygraph each, drawn from /api/history and the evaluations of the state.
const charts = (() => {
  // Its legend writes style attributes, which the page's policy forbids; the keys above each chart stand in for it.
  Dygraph.PLUGINS = Dygraph.PLUGINS.filter(plugin => plugin !== Dygraph.Plugins.Legend);
  // Series: [column, label, style]; "@" marks figures of the evaluations, "^" dots on the axis where the column is not 0.
  const rolloutKinds = [
    ['Reward and tests', [['reward_mean', 'reward', 1], ['pass_rate', 'passed', 2], ['@pass_rate_sampled', 'held-out', 3], ['@pass_rate_greedy', 'held-out, greedy', 4], ['^refused', 'refused', 5]]],
    ['Entropy, nats', [['entropy', 'entropy', 1]]],
    ['KL, nats', [['kl_behaviour', 'to the sampler', 1], ['kl_reference', 'to the start', 2]]],
    ['Completion length, tokens', [['mean_response_tokens', 'length', 1], ['@mean_response_tokens', 'held-out', 3]]],
    ['Clipped tokens, share', [['clip_low', 'low', 1], ['clip_high', 'high', 2]]],
    ['Log-prob gap, nats', [['gap_mean', 'mean', 1], ['gap_max', 'max', 2]]],
    ['Seconds an update', [['train_seconds', 'trains', 1], ['wait_seconds', 'waits', 2]]],
    ['Lag, versions', [['lag_mean', 'mean', 1], ['!bound', 'bound', 2]]],
  ];
  const documentKinds = [  // of pretrain and sft stages
    ['Loss, nats a token', [['loss', 'loss', 1]]],
    ['Gate, share right', [['gate_share', 'probed', 1]]],
    ['Learning rate', [['learning_rate', 'rate', 1]]],
    ['Gradient norm', [['gradient_norm', 'norm', 1]]],
    ['Positions a second', [['positions_per_second', 'learner', 1]]],
  ];
  const dashes = [null, null, [6, 4], [2, 3], [8, 3, 2, 3], null];
  const keyClass = ['', '', ' dash', ' dot', ' dash', ' dot'];
  const drawn = [];
  let kinds = null, chosen = null;  // chosen: a stage that somebody wants to see; null: the newest
  const number = value => {
    if (value === null || value === undefined || !isFinite(value)) return '–';
    const size = Math.abs(value);
    if (size !== 0 && size < 1e-3) return value.toExponential(1);
    return size >= 1000 ? Math.round(value).toLocaleString('en') : String(+value.toPrecision(3));
  };
  const colour = index => getComputedStyle(document.documentElement).getPropertyValue('--c' + index).trim();

  function make(kind) {
    const card = document.createElement('div');
    card.className = 'card chart';
    const title = document.createElement('h3');
    title.textContent = kind[0];
    const keys = document.createElement('div');
    keys.className = 'keys';
    const plot = document.createElement('div');
    plot.className = 'plot';
    plot.setAttribute('role', 'img');
    card.append(title, keys, plot);
    document.getElementById('charts').append(card);
    return { kind, keys, plot, graph: null, rows: [] };
  }

  function showKeys(chart, row) {
    chart.keys.replaceChildren();
    const spoken = [];
    chart.kind[1].forEach(([name, label, style], i) => {
      if (name.startsWith('^') && !chart.marked) return;
      let value = row ? row[i + 1] : null;
      if (name.startsWith('^')) value = chart.marked;
      for (let back = chart.rows.length; value === null && !row?.hovered && back-- > 0;) value = chart.rows[back][i + 1];
      const key = document.createElement('span');
      const line = document.createElement('i');
      line.className = 's' + style + keyClass[style];
      const figure = document.createElement('b');
      figure.textContent = number(value);
      key.append(line, label + ' ', figure);
      chart.keys.append(key);
      spoken.push(label + ' ' + number(value));
    });
    chart.plot.setAttribute('aria-label', chart.kind[0] + ': ' + spoken.join(', '));
  }

  function rowsOf(chart, history, stage, state) {
    const column = Object.fromEntries(history.columns.map((name, i) => [name, i + 4]));
    const rows = new Map();
    const row = update => {
      if (!rows.has(update)) rows.set(update, [update, ...chart.kind[1].map(() => null)]);
      return rows.get(update);
    };
    chart.kind[1].forEach(([name], i) => {
      if (name.startsWith('@')) {
        for (const e of state.evaluations) if (e.stage === stage) row(e.update)[i + 1] = e[name.slice(1)];
      } else if (name.startsWith('^')) {
        const marks = history.points.filter(p => p[0] === stage && p[column[name.slice(1)]] > 0);
        for (const p of marks) row(p[1])[i + 1] = 0;
        chart.marked = marks.reduce((all, p) => all + Math.round(p[2] * p[column[name.slice(1)]]), 0);
      } else {
        for (const p of history.points)
          if (p[0] === stage) row(p[1])[i + 1] = name === '!bound' ? state.staleness_bound ?? null : p[column[name]];
      }
    });
    return [...rows.values()].sort((a, b) => a[0] - b[0]);
  }

  function options(chart, rows) {
    const series = {};
    const colours = chart.kind[1].map(([name, , style]) => name.startsWith('^') ? getComputedStyle(document.documentElement).getPropertyValue('--bad').trim() : colour(style));
    chart.kind[1].forEach(([name, label, style]) => {
      const sparse = name.startsWith('@') || name === 'gate_share';
      series[label] = name.startsWith('^') ? { strokeWidth: 0, drawPoints: true, pointSize: 4.5 } :
        { strokePattern: dashes[style], drawPoints: sparse || rows.length < 3, pointSize: 2.5, connectSeparatedPoints: true };
    });
    return {
      file: rows, labels: ['update', ...chart.kind[1].map(s => s[1])], series, colors: colours,
      strokeWidth: 1.6, gridLineWidth: 1, gridLineColor: getComputedStyle(document.documentElement).getPropertyValue('--line').trim(),
      axisLineColor: 'transparent', axisLabelFontSize: 11, includeZero: true, highlightCircleSize: 3,
      axes: { y: { axisLabelWidth: 44, axisLabelFormatter: number, pixelsPerLabel: 34 }, x: { axisLabelFormatter: v => Number.isInteger(v) ? String(v) : '', pixelsPerLabel: 50 } },
      highlightCallback: (e, x, points, index) => { const r = chart.rows[index]; if (r) showKeys(chart, Object.assign([...r], { hovered: true })); },
      unhighlightCallback: () => showKeys(chart, chart.rows[chart.rows.length - 1]),
    };
  }

  const nameOf = (stage, state) => state.stages.find(s => s.index === stage)?.name ?? String(stage);

  // More than one stage has curves: which shall be seen.
  function offer(stages, shown, history, state) {
    const choice = document.getElementById('stage-choice');
    choice.hidden = stages.length < 2;
    choice.replaceChildren(...stages.map(stage => new Option(nameOf(stage, state), stage, false, stage === shown)));
    choice.onchange = () => {
      const newest = history.points[history.points.length - 1][0];
      chosen = Number(choice.value) === newest ? null : Number(choice.value);  // the newest is followed
      charts.draw(history, state);
    };
  }

  return {
    number,
    draw(history, state) {
      const newest = history.points[history.points.length - 1];
      document.getElementById('no-charts').hidden = Boolean(newest);
      if (!newest) return;
      const stages = [...new Set(history.points.map(p => p[0]))];
      const stage = stages.includes(chosen) ? chosen : newest[0];
      offer(stages, stage, history, state);
      document.getElementById('stage-note').textContent = 'by update' + (stages.length > 1 ? ' of stage' : ' of stage ' + nameOf(stage, state));
      const loss = history.columns.indexOf('loss') + 4;
      const wanted = history.points.some(p => p[0] === stage && p[loss] !== null) ? documentKinds : rolloutKinds;
      if (kinds !== wanted) {
        for (const chart of drawn.splice(0)) { chart.graph?.destroy(); chart.plot.parentNode.remove(); }
        kinds = wanted;
        kinds.forEach(kind => drawn.push(make(kind)));
      }
      for (const chart of drawn) {
        chart.rows = rowsOf(chart, history, stage, state);
        chart.plot.parentNode.hidden = !chart.rows.some(row => row.slice(1).some(value => value !== null));  // a stage without a gate
        if (chart.plot.parentNode.hidden) continue;
        showKeys(chart, chart.rows[chart.rows.length - 1]);
        const wanted = options(chart, chart.rows);
        if (chart.graph) { chart.graph.updateOptions(wanted); continue; }
        const { file, ...rest } = wanted;
        chart.graph = new Dygraph(chart.plot, file, rest);
      }
    },
    drawn: () => drawn.filter(chart => chart.graph).length,
  };
})();
