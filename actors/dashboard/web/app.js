'use strict';
// The page: hears the state every second, fetches curves and rollouts when there are more of them.
(() => {
  const at = id => document.getElementById(id);
  const number = charts.number;
  const svgNames = 'http://www.w3.org/2000/svg';
  const make = (tag, className, text) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const svg = (tag, attributes, text) => {
    const node = document.createElementNS(svgNames, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const percent = share => Math.round(100 * share) + ' %';
  const count = value => value === undefined ? '–' : Math.round(value).toLocaleString('en');
  const clock = seconds => {
    const s = Math.round(seconds), two = n => String(n).padStart(2, '0');
    return s >= 3600 ? Math.floor(s / 3600) + ':' + two(Math.floor(s / 60) % 60) + ':' + two(s % 60) : Math.floor(s / 60) + ':' + two(s % 60);
  };

  // Rates over what was heard in the last 15 s; the page knows of no time before it was opened.
  const heard = [];
  function rate(state, pick) {
    const then = heard.find(h => h.seconds >= state.seconds - 15 && pick(h) !== undefined), now = pick(state);
    return then && now !== undefined && state.seconds > then.seconds && now >= pick(then) ? (now - pick(then)) / (state.seconds - then.seconds) : undefined;
  }
  const perSecond = value => value === undefined ? undefined : count(value) + ' tok/s';

  function facts(state, stage) {
    const rows = [];
    if (stage) {
      rows.push(['stage', stage.name + (state.stages.length > 1 ? ' (' + (stage.index + 1) + ')' : '')]);
      rows.push(['update', stage.update + (stage.updates ? ' of ' + stage.updates : '')]);
    }
    if (state.version !== undefined) rows.push(['version', state.version]);
    if (state.newest) rows.push(['reward', number(state.newest.reward_mean)], ['passed', percent(state.newest.pass_rate)]);
    else if (state.supervised) rows.push(['loss, nats', number(state.supervised.loss)]);
    rows.push([state.live ? 'running for' : 'ran for', clock(state.seconds)]);
    if (state.live && stage?.seconds_left !== undefined && !stage.ended) rows.push(['left in the stage', clock(stage.seconds_left)]);
    const age = state.metrics?.troupe_learner_checkpoint_age_seconds;
    if (age !== undefined) rows.push(['last model saved', clock(age) + ' ago']);
    rows.push(['model', state.model], ['config', state.config_digest]);
    at('facts').replaceChildren(...rows.map(([name, value]) => {
      const pair = make('div');
      pair.append(make('dt', '', name), make('dd', '', String(value)));
      pair.dataset.fact = name;
      return pair;
    }));
    const done = stage && stage.updates ? Math.min(1, stage.update / stage.updates) : 0;
    at('progress').firstElementChild.style.width = 100 * done + '%';
    at('progress').setAttribute('aria-valuenow', stage?.update ?? 0);
    at('progress').setAttribute('aria-valuemax', stage?.updates ?? 0);
  }

  function track(share, label) {
    const rail = make('span', 'track'), fill = make('i');
    fill.style.width = 100 * share + '%';
    rail.setAttribute('role', 'img');
    rail.setAttribute('aria-label', label);
    rail.append(fill);
    return rail;
  }

  function hero(bottleneck) {
    if (at('sentence').textContent !== bottleneck.sentence) at('sentence').textContent = bottleneck.sentence;
    at('shares').replaceChildren(...Object.entries(bottleneck.shares).map(([role, idle]) => {
      const row = make('div', 'share'), counted = bottleneck.counts[role];
      row.append(make('span', '', role + (counted > 1 ? ' ×' + counted : '')), track(1 - idle, role + ' work ' + percent(1 - idle)), make('b', '', percent(idle) + ' idle'));
      return row;
    }), make('p', 'dim', bottleneck.seconds > 1 ? 'Over the last ' + Math.round(bottleneck.seconds) + ' s.' : 'Over the stage so far.'));
  }

  function lights(list) {
    const signs = { ok: '✓', warn: '!', bad: '✗' };
    at('lights').replaceChildren(...list.map(light => {
      const row = make('li', light.state);
      row.append(make('span', 'sign', signs[light.state] ?? '?'), make('b', '', light.name), make('span', '', light.text));
      return row;
    }));
  }

  // --- the cast ---

  const wide = { box: [980, 290], size: [210, 92], at: { generator: [20, 20], verifier: [385, 20], 'replay buffer': [750, 20], learner: [750, 178], broadcaster: [200, 178] } };
  const narrow = { box: [360, 440], size: [160, 92], at: { generator: [4, 6], verifier: [4, 172], 'replay buffer': [4, 340], learner: [196, 340], broadcaster: [196, 100] } };

  function roles(state) {
    const known = {}, m = state.metrics ?? {}, newest = state.newest;
    const add = (role, sub) => { known[role] = { actors: (state.actors ?? []).filter(a => a.role === role), sub: sub.filter(Boolean) }; };
    const versions = Object.values(m.troupe_generator_weights_version ?? {});
    add('generator', [perSecond(rate(state, s => s.ledger?.generated_tokens)), versions.length ? Math.max(...versions) > Math.min(...versions) ? 'v' + Math.min(...versions) + '–' + Math.max(...versions) : 'version ' + versions[0] : null]);
    const graded = state.load?.rollouts?.at_verifiers;
    add('verifier', [graded === undefined ? null : count(graded) + ' waiting']);
    add('replay buffer', [state.ledger ? count(state.ledger.buffered_rollouts) + ' waiting' : null, state.ledger ? count(state.ledger.in_flight_rollouts) + ' in flight' : null]);
    add('learner', [perSecond(rate(state, s => s.ledger?.trained_tokens)), newest ? 'at version ' + (newest.version + 1) : null]);
    add('broadcaster', [m.troupe_broadcaster_version !== undefined && newest ? 'version ' + m.troupe_broadcaster_version : null]);
    return known;
  }

  // Of other processes, by role: how many there were, and the names of those that are not connected.
  function peers(state) {
    const known = {};
    const there = state.metrics?.troupe_link_peer_connected?.['replay-buffer'];  // with a link of this process's own
    const buffer = there === undefined ? [] : [{ name: 'replay-buffer', role: 'replay buffer', away: !there }];
    for (const peer of [...state.peers ?? [], ...buffer]) {
      const of = known[peer.role] ??= { count: 0, gone: [] };
      of.count += 1;
      if (peer.away) of.gone.push(peer.name);
    }
    return known;
  }

  function graph(state) {
    const shape = matchMedia('(max-width: 760px)').matches ? narrow : wide, [w, h] = shape.size, known = roles(state), links = peers(state);
    const cut = role => links[role] && links[role].gone.length === links[role].count;
    const picture = svg('svg', { viewBox: '0 0 ' + shape.box.join(' '), role: 'img', 'aria-label': 'Generators, verifiers, replay buffer, learner and broadcaster, and what goes between them' });
    const defs = svg('defs', {}), arrow = svg('marker', { id: 'arrow', viewBox: '0 0 8 8', refX: 7, refY: 4, markerWidth: 8, markerHeight: 8, orient: 'auto' });
    arrow.append(svg('path', { d: 'M0 0 L8 4 L0 8 z' }));
    defs.append(arrow);
    picture.append(defs);
    const side = (role, x, y) => [shape.at[role][0] + x * w, shape.at[role][1] + y * h];
    const across = shape === wide;
    const edges = [
      ['generator', 'verifier', 'rollouts', across ? [1, .5, 0, .5] : [.5, 1, .5, 0]],
      ['verifier', 'replay buffer', 'graded', across ? [1, .5, 0, .5] : [.5, 1, .5, 0]],
      ['replay buffer', 'learner', 'batches', across ? [.5, 1, .5, 0] : [1, .5, 0, .5]],
      ['learner', 'broadcaster', 'new version', across ? [0, .5, 1, .5] : [.5, 0, .5, 1]],
      ['broadcaster', 'generator', 'weights', across ? [0, .5, .5, 1] : [.5, 0, 1, .5]],
    ];
    for (const [from, to, what, [fx, fy, tx, ty]] of edges) {
      const [x1, y1] = side(from, fx, fy), [x2, y2] = side(to, tx, ty);
      const bend = from === 'broadcaster', corner = across ? [x2, y1] : [x1, y2];
      const broken = cut(from) || cut(to);
      const edge = svg('g', { class: 'edge' + (broken ? ' down' : '') });
      edge.append(svg('path', { d: bend ? `M${x1} ${y1} L${corner[0]} ${corner[1]} L${x2} ${y2}` : `M${x1} ${y1} L${x2} ${y2}`, 'marker-end': 'url(#arrow)' }));
      const upright = !bend && x1 === x2, middle = bend ? (across ? [corner[0] + 10, (corner[1] + y2) / 2] : [corner[0] - 4, y2 - 8]) : [(x1 + x2) / 2 + (upright ? 10 : 0), (y1 + y2) / 2 + (upright ? 4 : -8)];
      edge.append(svg('text', { x: middle[0], y: middle[1], 'text-anchor': upright || (bend && across) ? 'start' : bend ? 'end' : 'middle' }, broken ? 'disconnected' : !across && !upright && !bend ? '' : what));
      picture.append(edge);
    }
    for (const [role, [x, y]] of Object.entries(shape.at)) {
      const { actors, sub } = known[role], limit = state.bottleneck.role === role;
      const node = svg('g', { class: 'node' + (limit ? ' limit' : ''), transform: `translate(${x} ${y})` });
      node.append(svg('rect', { class: 'box', width: w, height: h, rx: 10 }));
      node.append(svg('text', { class: 'name', x: 14, y: 25 }, role + (actors.length > 1 ? ' ×' + actors.length : '') + (limit ? ' · limit' : '')));
      const busy = actors.length ? 1 - actors.reduce((all, a) => all + a.idle_ratio, 0) / actors.length : null;
      if (busy !== null) {
        node.append(svg('rect', { class: 'rail', x: 14, y: 35, width: w - 28, height: 6, rx: 3 }), svg('rect', { class: 'fill', x: 14, y: 35, width: Math.max(0, busy * (w - 28)), height: 6, rx: 3 }));
      }
      const lines = [busy === null ? sub[0] : [percent(busy) + ' busy', links[role]?.gone.length ? links[role].gone.length + ' gone' : across ? actors[0].phase : null].filter(Boolean).join(' · '), (busy === null ? sub.slice(1) : sub).join(across ? ' · ' : ', ')];
      lines.filter(Boolean).forEach((line, i) => node.append(svg('text', { class: 'sub', x: 14, y: (busy === null ? 48 : 60) + 18 * i }, line)));
      if (!lines.filter(Boolean).length) node.append(svg('text', { class: 'sub', x: 14, y: 48 }, 'nothing known'));
      picture.append(node);
    }
    at('graph').replaceChildren(picture);
  }

  function actors(state) {
    const m = state.metrics ?? {}, cell = value => value === undefined ? '–' : count(value);
    at('actors').tBodies[0].replaceChildren(...(state.actors ?? []).map(a => {
      const row = make('tr');
      const texts = [a.name, a.away ? 'gone' : a.phase || '–', percent(1 - a.idle_ratio), percent(a.idle_ratio), cell(a.version ?? m.troupe_generator_weights_version?.[a.name]), cell(m.troupe_actor_mailbox_depth?.[a.name]), cell(m.troupe_actor_credits_available?.[a.name]), cell(m.troupe_actor_restarts_total?.[a.name] ?? 0)];
      texts.forEach((text, i) => row.append(make('td', i > 1 ? 'n' : '', text)));
      return row;
    }));
  }

  // --- staleness, ledger, faults ---

  function lag(state) {
    const histogram = state.newest?.lag_histogram ?? [], bound = state.staleness_bound, total = histogram.reduce((a, b) => a + b, 0);
    if (total === 0) return at('lag').replaceChildren(make('p', 'empty', state.newest ? 'Update ' + state.newest.update + ' had nothing to learn from: no group with a signal.' : 'No batch yet.'));
    const columns = Math.max(histogram.length, (bound ?? 0) + 1), most = Math.max(...histogram), bars = make('div', 'bars'), ticks = make('div', 'ticks');
    bars.setAttribute('role', 'img');
    bars.setAttribute('aria-label', 'Tokens by lag: ' + histogram.map((n, i) => i + ': ' + n).join(', ') + (bound === undefined ? '' : '; bound ' + bound));
    const mark = () => { const line = make('div', 'bound'); line.append(make('span', '', 'bound ' + bound)); return line; };
    for (let i = 0; i < columns; ++i) {
      const column = make('div', 'col' + (bound !== undefined && i > bound ? ' beyond' : '')), bar = make('i'), n = histogram[i] ?? 0;
      bar.style.height = 78 * n / most + '%';
      column.append(make('span', '', percent(n / total)), bar);
      bars.append(column);
      ticks.append(make('span', '', String(i)));
      if (i === bound) bars.append(mark());
    }
    at('lag').replaceChildren(bars, ticks, make('p', 'dim', 'Tokens by lag in versions, of update ' + state.newest.update + '.'));
  }

  function ledger(state) {
    const l = state.ledger;
    if (!l || !l.generated_rollouts) return at('ledger').replaceChildren(make('p', 'empty', 'No rollout yet.'));
    const parts = [['k1', 'trained', l.trained_rollouts, l.trained_tokens], ['k2', 'buffered', l.buffered_rollouts, l.buffered_tokens], ['k3', 'in flight', l.in_flight_rollouts, l.in_flight_tokens]];
    Object.entries(l.dropped_rollouts).forEach(([reason, n]) => { if (n) parts.push(['k4', 'dropped: ' + reason.replace(/_/g, ' '), n, l.dropped_tokens[reason]]); });
    const stack = make('div', 'stack'), keys = make('div', 'keyrow');
    stack.setAttribute('role', 'img');
    stack.setAttribute('aria-label', parts.map(p => p[1] + ' ' + p[2]).join(', '));
    keys.append(make('span'), make('span', 'head', ''), make('span', 'head', 'rollouts'), make('span', 'head', 'tokens'));
    for (const [className, name, n, t] of parts) {
      const piece = make('i', className);
      piece.style.flex = String(n);
      stack.append(piece);
      keys.append(make('i', className), make('span', '', name), make('span', '', count(n)), make('span', '', count(t)));
    }
    keys.append(make('i'), make('b', '', 'generated'), make('span', '', count(l.generated_rollouts)), make('span', '', count(l.generated_tokens)));
    at('ledger').replaceChildren(stack, keys);
  }

  function faults(state) {
    const m = state.metrics, rows = [];
    const add = (name, values) => Object.entries(values ?? {}).forEach(([label, n]) => { if (n) rows.push([name + ' ' + label.replace(/_/g, ' '), n]); });
    if (!m) return at('errors').replaceChildren(make('p', 'empty', 'Counted only while a run goes on; see its events.'));
    add('message dropped:', m.troupe_actor_dropped_messages_total);
    add('restart of', m.troupe_actor_restarts_total);
    add('link closed:', m.troupe_link_closed_total);
    add('connection refused:', m.troupe_link_refused_total);
    if (m.troupe_verifier_verdicts_total?.unverifiable) rows.push(['verdict unverifiable', m.troupe_verifier_verdicts_total.unverifiable]);
    if (m.troupe_learner_nan_updates_total) rows.push(['update not finite', m.troupe_learner_nan_updates_total]);
    if (m.troupe_broadcaster_checksum_mismatch_total) rows.push(['weights with a wrong digest', m.troupe_broadcaster_checksum_mismatch_total]);
    if (rows.length === 0) return at('errors').replaceChildren(make('p', '', '✓ None.'));
    const table = make('table');
    rows.forEach(([name, n]) => { const row = make('tr'); row.append(make('td', '', name), make('td', 'n', count(n))); table.append(row); });
    at('errors').replaceChildren(table);
  }

  async function events() {
    const log = await (await fetch('/api/events')).json();
    at('events').replaceChildren(...log.newest.reverse().map(event => {
      const row = make('li');
      row.append(make('span', 'when', clock(event.seconds)), make('span', 'what', event.kind.replace(/_/g, ' ')), make('span', 'text', event.text));
      return row;
    }));
  }

  // --- the state ---

  let newest = null, curves = null;
  const seen = {};
  async function changed(state) {
    if (seen.updates !== state.updates_recorded || seen.evaluations !== state.evaluations.length) {
      seen.updates = state.updates_recorded;
      seen.evaluations = state.evaluations.length;
      curves = await (await fetch('/api/history')).json();
      charts.draw(curves, state);
    }
    await load.take(state);
    if (seen.rollouts !== state.rollouts_recorded) { seen.rollouts = state.rollouts_recorded; await rollouts.load(); }
    if (seen.events !== state.events_count) { seen.events = state.events_count; await events(); }
  }

  function show(state) {
    const stage = state.stages[state.stages.length - 1];
    newest = state;
    document.title = (stage ? stage.update + '/' + stage.updates + ' ' : '') + state.run + ' – Troupe';
    at('run').textContent = state.run;
    at('run-id').hidden = !state.run_id;
    if (at('run-id').dataset.id !== state.run_id) at('run-id').textContent = at('run-id').dataset.id = state.run_id ?? '';
    at('live').className = 'pill' + (state.paused ? ' held' : state.live ? ' on' : '');
    at('live').textContent = state.stopping ? 'stopping' : state.paused ? 'paused' : state.live ? 'live' : state.ended ? 'ended: ' + state.ended : 'not ended';
    at('stop').hidden = at('pause').hidden = !state.control || state.stopping;
    at('pause').textContent = state.paused ? 'Resume…' : 'Pause…';
    at('build').textContent = state.build;
    document.querySelectorAll('.after').forEach(item => { item.hidden = state.live; });
    at('after-note').hidden = !state.live;
    facts(state, stage);
    hero(state.bottleneck);
    lights(state.lights);
    graph(state);
    actors(state);
    lag(state);
    ledger(state);
    faults(state);
    heard.push({ seconds: state.seconds, ledger: state.ledger });
    while (heard.length > 60) heard.shift();
    document.body.dataset.seconds = state.seconds;
  }

  let busy = Promise.resolve();
  function take(state) {
    show(state);
    busy = busy.then(() => changed(state)).catch(() => {});
    busy.then(() => { document.body.dataset.ready = 'yes'; });
  }

  function listen() {
    const stream = new EventSource('/events');
    stream.onmessage = event => {
      const state = JSON.parse(event.data);
      if (!state.live) stream.close();
      take(state);
    };
    stream.onerror = () => {
      if (newest && !newest.live) return;
      at('live').className = 'pill off';
      at('live').textContent = 'no connection; figures are of ' + (newest ? clock(newest.seconds) : 'never');
      if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 5000);  // too many look on
    };
  }

  // --- theme, stop ---

  function theme(name) {
    document.documentElement.dataset.theme = name;
    at('theme').textContent = name === 'dark' ? 'Light' : 'Dark';
    if (curves && newest) charts.draw(curves, newest);
    load.draw();
  }
  const dark = matchMedia('(prefers-color-scheme: dark)');
  theme(localStorage.getItem('theme') ?? (dark.matches ? 'dark' : 'light'));
  dark.addEventListener('change', () => { if (!localStorage.getItem('theme')) theme(dark.matches ? 'dark' : 'light'); });
  at('theme').addEventListener('click', () => {
    const name = document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark';
    localStorage.setItem('theme', name);
    theme(name);
  });
  matchMedia('(max-width: 760px)').addEventListener('change', () => { if (newest) graph(newest); });

  // A page that did not come over TLS or from this machine may not write to the clipboard: the id is selected instead.
  at('run-id').addEventListener('click', async () => {
    const button = at('run-id');
    try {
      await navigator.clipboard.writeText(button.dataset.id);
      button.textContent = 'copied';
      setTimeout(() => { button.textContent = button.dataset.id; }, 1200);
    } catch {
      getSelection().selectAllChildren(button);
    }
  });

  const commands = {
    stop: ['Stop the run?', 'As Ctrl-C once: the update under way is finished, the model is saved.', 'Stop'],
    pause: ['Pause the run?', 'Rollout stages wait: no ticket is granted and no batch is handed out; generators finish what they have.', 'Pause'],
    resume: ['Resume the run?', 'Tickets and batches are handed out again.', 'Resume'],
  };
  let command = 'stop';
  function ask(which) {
    command = which;
    [at('h-stop').textContent, at('what-stop').textContent, at('stop-now').textContent] = commands[which];
    at('stop-answer').textContent = '';
    at('stop-dialog').showModal();
    at('token').focus();
  }
  at('stop').addEventListener('click', () => ask('stop'));
  at('pause').addEventListener('click', () => ask(newest.paused ? 'resume' : 'pause'));
  async function send() {
    const answer = await fetch('/control/' + command, { method: 'POST', headers: { 'X-Troupe-Token': at('token').value } });
    at('token').value = '';
    if (answer.ok) at('stop-dialog').close();
    else at('stop-answer').textContent = (await answer.text()).trim();
  }
  at('stop-now').addEventListener('click', send);
  at('token').addEventListener('keydown', event => { if (event.key === 'Enter') { event.preventDefault(); send(); } });

  listen();
})();
