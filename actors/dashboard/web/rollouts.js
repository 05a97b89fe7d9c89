'use strict';
// The rollout browser. Whatever a model wrote is put in as text, never as HTML.
const rollouts = (() => {
  const at = id => document.getElementById(id);
  const number = charts.number;
  let all = [], shown = [], chosen = null, mode = 'version';
  const signs = { pass: '✓', fail: '✗', unverifiable: '?' };
  const make = (tag, className, text) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  };

  function wanted(r) {
    const kind = at('f-kind').value, least = id => at(id).value === '' ? -Infinity : Number(at(id).value);
    return r.prompt.includes(at('f-prompt').value) && r.reward >= least('f-reward') && r.tokens >= least('f-length') && r.lag >= least('f-lag') &&
      (kind === 'flagged' ? r.flagged : kind === 'pass' || kind === 'fail' ? r.outcome === kind : true);
  }

  function list() {
    shown = all.filter(wanted);
    if (at('f-kind').value === 'worst') shown.sort((a, b) => a.reward - b.reward);
    at('f-count').textContent = shown.length + ' of ' + all.length;
    const rows = shown.map((r, i) => {
      const row = make('div', 'row ' + r.outcome);
      row.id = 'row-' + i;
      row.setAttribute('role', 'option');
      row.setAttribute('aria-selected', String(r.id === chosen));
      row.dataset.id = r.id;
      const sign = make('span', 'sign', signs[r.outcome] ?? '?');
      sign.title = r.outcome;
      const text = make('span', 'text', r.prompt.replace(/\n/g, '⏎'));
      row.append(sign, text, make('span', 'side', number(r.reward) + ' · ' + r.tokens + ' tok · lag ' + r.lag + ' · #' + r.update + (r.flagged ? ' ⚑' : '')));
      return row;
    });
    if (rows.length === 0) rows.push(make('p', 'empty row', all.length === 0 ? 'None yet: they come with the updates of an rl stage.' : 'None fits the filter.'));
    at('list').replaceChildren(...rows);
  }

  const versionClass = (version, versions) => 'v' + (versions.indexOf(version) % 5);
  const gapStep = gap => gap === null ? 'gx' : gap < 1e-6 ? 'g0' : gap < 1e-4 ? 'g1' : gap < 1e-2 ? 'g2' : gap < 1e-1 ? 'g3' : 'g4';
  const chanceStep = p => p > 0.9 ? 'g0' : p > 0.5 ? 'g1' : p > 0.2 ? 'g2' : p > 0.05 ? 'g3' : 'g4';

  function tokens(r) {
    const box = make('div', 'tokens');
    box.tabIndex = 0;
    box.setAttribute('aria-label', 'Prompt and completion');
    const versions = r.versions.map(run => run[0]), each = r.versions.flatMap(([version, count]) => Array(Math.min(count, r.log_probs.length)).fill(version));
    r.pieces.forEach((piece, i) => {
      const k = i - r.prompt_tokens, token = make('span', 'prompt', piece);
      if (k >= 0) {
        const gap = k < r.learner_log_probs.length ? Math.abs(r.learner_log_probs[k] - r.log_probs[k]) : null;
        token.className = mode === 'version' ? versionClass(each[k], versions) : mode === 'gap' ? gapStep(gap) : chanceStep(Math.exp(r.log_probs[k]));
        token.title = 'version ' + each[k] + ', log-prob ' + number(r.log_probs[k]) + (gap === null ? ', gap not measured' : ', gap ' + number(gap));
      }
      box.append(token);
    });
    if (r.completion_tokens > r.log_probs.length) box.append(make('em', 'dim', ' … ' + (r.completion_tokens - r.log_probs.length) + ' more tokens'));
    return box;
  }

  function swatches(r) {
    const row = make('div', 'swatches');
    const add = (className, text) => { const item = make('span'); item.append(make('i', className), text); row.append(item); };
    if (mode === 'version') [...new Set(r.versions.map(v => v[0]))].forEach((version, i) => add('v' + i % 5, 'version ' + version + ', lag ' + (r.trained_at - version)));
    if (mode === 'gap') ['< 1e-6', '< 1e-4', '< 0.01', '< 0.1', 'more nats'].forEach((text, i) => add('g' + i, text));
    if (mode === 'gap' && r.learner_log_probs.length < r.log_probs.length) row.append(make('span', '', 'pale: not measured'));
    if (mode === 'chance') ['> 90 %', '> 50 %', '> 20 %', '> 5 %', 'less likely'].forEach((text, i) => add('g' + i, text));
    return row;
  }

  function facts(r) {
    const row = make('dl', 'facts');
    const add = (name, value) => { const pair = make('div'); pair.append(make('dt', '', name), make('dd', '', value)); row.append(pair); };
    add('verdict', (signs[r.outcome] ?? '?') + ' ' + r.outcome + (r.reason ? ': ' + r.reason : ''));
    add('reward', number(r.reward));
    add('accuracy', number(r.accuracy));
    add('format', number(r.format));
    add('length', r.completion_tokens + ' tokens' + (r.truncated ? ', cut by the limit' : ''));
    add('used by', 'update ' + r.update + (r.update_refused ? ' (refused)' : ''));
    add('trained at', 'version ' + r.trained_at);
    add('generator', r.generator);
    add('verifier', r.verifier);
    add('ticket', r.ticket + '/' + r.index + (r.attempt ? ', attempt ' + r.attempt : ''));
    return row;
  }

  function show(r) {
    const link = make('a', '', 'rollout ' + r.id);
    link.href = '#rollout=' + r.id;
    const title = make('h3');
    title.append(link);
    const modes = make('div', 'modes');
    modes.append(make('span', 'dim', 'Colour by'));
    for (const [name, text] of [['version', 'version'], ['gap', 'log-prob gap'], ['chance', 'probability']]) {
      const button = make('button', 'quiet', text);
      button.setAttribute('aria-pressed', String(mode === name));
      button.addEventListener('click', () => { mode = name; show(r); });
      modes.append(button);
    }
    at('detail').replaceChildren(title, facts(r), modes, tokens(r), swatches(r));
  }

  async function choose(id, scroll) {
    chosen = id;
    for (const row of at('list').children) {
      const own = row.dataset.id === id;
      row.setAttribute('aria-selected', String(own));
      if (own) { at('list').setAttribute('aria-activedescendant', row.id); row.scrollIntoView({ block: 'nearest' }); }
    }
    if (location.hash !== '#rollout=' + id) history.replaceState(null, '', '#rollout=' + id);
    const answer = await fetch('/api/rollouts/' + encodeURIComponent(id));
    if (answer.ok) show(await answer.json());
    else at('detail').replaceChildren(make('p', 'empty', 'This rollout is not kept any more; rollouts.jsonl may have it.'));
    if (scroll) at('h-rollouts').scrollIntoView();
  }

  at('list').addEventListener('click', event => { const row = event.target.closest('.row[data-id]'); if (row) choose(row.dataset.id); });
  at('list').addEventListener('keydown', event => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (!step || shown.length === 0) return;
    event.preventDefault();
    const now = shown.findIndex(r => r.id === chosen);
    choose(shown[Math.max(0, Math.min(shown.length - 1, now < 0 ? 0 : now + step))].id);
  });
  at('filter').addEventListener('input', list);
  at('filter').addEventListener('submit', event => event.preventDefault());
  const follow = () => { const found = location.hash.match(/^#rollout=([0-9a-f]{16})$/); if (found) choose(found[1], true); };
  addEventListener('hashchange', follow);

  let first = true;
  return {
    async load() {
      all = await (await fetch('/api/rollouts')).json();
      list();
      if (first) follow();
      first = false;
    },
  };
})();
