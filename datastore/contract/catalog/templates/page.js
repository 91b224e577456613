'use strict';
(() => {
  const root = document.documentElement;
  const find = (selector, within = document) => [...within.querySelectorAll(selector)];
  const byId = (id) => document.getElementById(id);
  const pages = find('.page');
  const search = byId('search');
  const results = byId('results');
  const found = byId('found');
  const aside = document.querySelector('aside');
  const lists = byId('lists');
  const title = document.title;

  // --- one view at a time, by the address; the browser's own search still finds what is hidden ---

  const show = (page) => {
    for (const one of pages) {
      if (one === page) one.removeAttribute('hidden');
      else one.setAttribute('hidden', 'until-found');
    }
    document.title = page.id === 'overview' ? title : `${page.dataset.name} · ${title}`;
    for (const link of find('#lists a')) {
      const current = link.getAttribute('href') === `#${page.id}`;
      if (current) {
        link.setAttribute('aria-current', 'page');
        if (link.closest('details')) link.closest('details').open = true;
        link.scrollIntoView({ block: 'nearest' });
      } else link.removeAttribute('aria-current');
    }
  };

  const addressed = () => {
    try { return byId(decodeURIComponent(location.hash.slice(1))); } catch { return null; /* no address of ours */ }
  };

  const go = (first) => {
    const target = addressed();
    const page = (target && target.closest('.page')) || byId('overview');
    show(page);
    closeMenu();
    if (!target || target === page || !page.contains(target)) {
      window.scrollTo(0, 0);
      if (!first) page.querySelector('h2').focus({ preventScroll: true });
      return;
    }
    if (target.tagName === 'DETAILS') target.open = true;
    target.scrollIntoView();
    target.classList.remove('flash');
    void target.offsetWidth;
    target.classList.add('flash');
    const focus = target.querySelector('summary') || target;
    if (focus === target) target.tabIndex = -1;
    // Later: the browser's own move to the address takes the focus away once more.
    setTimeout(() => focus.focus({ preventScroll: true }));
  };

  for (const page of pages) {
    // Found by the browser's own search, or on the way to a place in it: then the address is right already.
    page.addEventListener('beforematch', () => {
      show(page);
      if (!page.contains(addressed())) history.replaceState(null, '', `#${page.id}`);
    });
  }
  window.addEventListener('hashchange', () => go(false));

  // --- search: every word must be there; names before texts ---

  const clean = (text) => text.toLowerCase().replace(/\s+/g, ' ');
  const entries = find('[data-kind][data-name]').map((place) => ({
    place, id: place.id, kind: place.dataset.kind, hint: place.dataset.hint,
    name: place.dataset.name, low: place.dataset.name.toLowerCase(), text: null,
  }));
  const textOf = (entry) => {
    if (entry.text === null) entry.text = entry.kind === 'column' ? '' : clean(entry.place.textContent);
    return entry.text;
  };

  const rank = (entry, words, whole) => {
    if (entry.low === whole) return 0;
    if (entry.low.startsWith(whole)) return 1;
    if (entry.low.includes(whole)) return 2;
    if (words.every((word) => entry.low.includes(word))) return 3;
    return words.every((word) => entry.low.includes(word) || textOf(entry).includes(word)) ? 5 : 9;
  };
  const kinds = { overview: 0, table: 1, column: 2, statement: 3, trigger: 4, index: 5 };

  const around = (entry, word) => {
    const at = textOf(entry).indexOf(word);
    if (at < 0) return entry.hint;
    return `… ${textOf(entry).slice(Math.max(0, at - 24), at + 48)} …`;
  };

  const marked = (text, words) => {
    const span = document.createElement('span');
    const low = text.toLowerCase();
    let at = 0;
    while (at < text.length) {
      let next = -1, length = 0;
      for (const word of words) {
        const where = low.indexOf(word, at);
        if (where >= 0 && (next < 0 || where < next)) { next = where; length = word.length; }
      }
      if (next < 0) break;
      span.append(text.slice(at, next));
      const mark = document.createElement('mark');
      mark.textContent = text.slice(next, next + length);
      span.append(mark);
      at = next + length;
    }
    span.append(text.slice(at));
    return span;
  };

  const MOST = 60;
  let at = -1;
  const look = () => {
    const whole = clean(search.value).trim();
    const words = whole.split(' ').filter(Boolean);
    at = -1;
    results.replaceChildren();
    results.hidden = !words.length;
    lists.hidden = words.length > 0;
    found.textContent = '';
    if (!words.length) return;
    const hits = [];
    for (const entry of entries) {
      const score = rank(entry, words, whole);
      if (score < 9) hits.push([score, kinds[entry.kind], entry]);
    }
    hits.sort((a, b) => a[0] - b[0] || a[1] - b[1] || (a[2].low < b[2].low ? -1 : 1));
    for (const [score, , entry] of hits.slice(0, MOST)) {
      const item = document.createElement('li');
      const link = document.createElement('a');
      link.href = `#${encodeURIComponent(entry.id)}`;
      const small = document.createElement('small');
      small.append(`${entry.kind} · `, marked(score === 5 ? around(entry, words.find((word) => !entry.low.includes(word))) : entry.hint, score === 5 ? words : []));
      link.append(marked(entry.name, words), small);
      item.append(link);
      results.append(item);
    }
    found.textContent = hits.length ? (hits.length > MOST ? `${hits.length} found, the first ${MOST} are shown` : `${hits.length} found`) : 'Nothing has all of these words.';
    step(1);
  };
  const step = (by) => {
    const links = find('a', results);
    if (!links.length) return;
    if (links[at]) links[at].classList.remove('at');
    at = Math.max(0, Math.min(links.length - 1, at + by));
    links[at].classList.add('at');
    links[at].scrollIntoView({ block: 'nearest' });
  };
  const leave = () => { search.value = ''; look(); };

  search.addEventListener('input', look);
  search.addEventListener('keydown', (event) => {
    const links = find('a', results);
    if (event.key === 'ArrowDown') step(1);
    else if (event.key === 'ArrowUp') step(-1);
    else if (event.key === 'Enter' && links[at]) open(links[at]);
    else if (event.key === 'Escape') { leave(); search.blur(); }
    else return;
    event.preventDefault();
  });
  const open = (link) => {
    const same = link.getAttribute('href') === location.hash;
    if (!same) location.hash = link.getAttribute('href');
    if (root.clientWidth <= 820) leave();
    if (same) go(false);
  };
  results.addEventListener('click', (event) => {
    const link = event.target.closest('a');
    if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    open(link);
  });
  document.addEventListener('keydown', (event) => {
    if (event.key !== '/' || event.metaKey || event.ctrlKey || event.altKey) return;
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) return;
    event.preventDefault();
    search.focus();
    search.select();
  });

  // --- the menu of a phone, copying, sorting ---

  const menu = byId('menu');
  const closeMenu = () => { aside.classList.remove('open'); menu.setAttribute('aria-expanded', 'false'); };
  menu.addEventListener('click', () => menu.setAttribute('aria-expanded', String(aside.classList.toggle('open'))));
  lists.addEventListener('click', (event) => {
    if (event.target.closest('a') && event.target.closest('a').hash === location.hash) go(false);
  });

  for (const block of find('pre.sql')) {
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'copy';
    button.textContent = 'Copy';
    button.addEventListener('click', async () => {
      try {
        await navigator.clipboard.writeText(block.querySelector('code').textContent);
        button.textContent = 'Copied';
      } catch {
        getSelection().selectAllChildren(block.querySelector('code'));
        button.textContent = 'Selected';
      }
      setTimeout(() => { button.textContent = 'Copy'; }, 1400);
    });
    block.append(button);
  }

  for (const table of find('table.sortable')) {
    const heads = find('th', table);
    heads.forEach((head, column) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener('click', () => {
        const down = head.getAttribute('aria-sort') !== 'descending' && column > 1;
        const up = column <= 1 && head.getAttribute('aria-sort') === 'ascending';
        const sign = down || up ? -1 : 1;
        for (const one of heads) one.removeAttribute('aria-sort');
        head.setAttribute('aria-sort', sign < 0 ? 'descending' : 'ascending');
        const key = (row) => {
          const data = row.cells[column].querySelector('data');
          return data ? Number(data.value) : column > 1 ? null : row.cells[column].textContent;
        };
        const rows = find('tbody tr', table).map((row) => [key(row), row]);
        rows.sort(([a], [b]) => (a === null) - (b === null) || (a < b ? -sign : a > b ? sign : 0));
        table.tBodies[0].append(...rows.map(([, row]) => row));
      });
    });
  }

  go(true);
  root.classList.add('ready');
})();
