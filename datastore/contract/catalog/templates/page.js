'use strict';
(() => {
  const find = (selector, within = document) => [...within.querySelectorAll(selector)];
  const [menu, search, results, lists] = ['menu', 'search', 'results', 'lists'].map((id) => document.getElementById(id));
  const title = document.title;

  // The style shows the view of the address; here is what a style cannot do.
  const arrive = () => {
    const target = document.querySelector('.page:target, .page :target') || document.getElementById('overview');
    const page = target.closest('.page');
    document.title = page.id === 'overview' ? title : `${page.dataset.name} · ${title}`;
    find('#lists a[aria-current]').forEach((link) => link.removeAttribute('aria-current'));
    const link = document.querySelector(`#lists a[href="#${CSS.escape(page.id)}"]`);
    if (link) link.setAttribute('aria-current', 'page');
    if (target.tagName === 'DETAILS') target.open = true;
    document.body.classList.remove('open');
    if (menu.offsetParent && search.value) {  // on a phone the results hide the page
      search.value = '';
      search.dispatchEvent(new Event('input'));
    }
    if (link && lists.clientHeight) link.scrollIntoView({ block: 'nearest' });
    if (location.hash) target.scrollIntoView();
  };
  for (const event of ['load', 'hashchange']) window.addEventListener(event, arrive);
  menu.addEventListener('click', () => document.body.classList.toggle('open'));

  // Every word must be in the name or the text; names before texts, the nearest name first.
  const clean = (text) => text.toLowerCase().replace(/\s+/g, ' ').trim();
  const kinds = ['overview', 'table', 'column', 'statement', 'trigger', 'index'];
  const entries = find('[data-kind]').map(({ id, dataset }) => ({ id, ...dataset, low: clean(dataset.name), text: null }));
  const rank = (entry, words) => {
    const whole = words.join(' ');
    if (entry.low === whole) return 0;
    if (entry.low.startsWith(whole)) return 1;
    if (words.every((word) => entry.low.includes(word))) return 2;
    if (entry.text === null) entry.text = entry.kind === 'column' ? '' : clean(document.getElementById(entry.id).textContent);
    return words.every((word) => entry.text.includes(word)) ? 3 : 9;
  };
  search.addEventListener('input', () => {
    const words = clean(search.value).split(' ').filter(Boolean);
    const hits = (words.length ? entries : []).map((entry) => [rank(entry, words), kinds.indexOf(entry.kind), entry]);
    const best = hits.filter(([score]) => score < 9).sort((a, b) => a[0] - b[0] || a[1] - b[1]).slice(0, 60);
    results.replaceChildren(...best.map(([, , entry]) => {
      const item = document.createElement('li'), link = document.createElement('a'), hint = document.createElement('small');
      link.href = `#${encodeURIComponent(entry.id)}`;
      hint.textContent = `${entry.kind} · ${entry.hint}`;
      link.append(entry.name, hint);
      item.append(link);
      return item;
    }));
    if (words.length && !best.length) results.textContent = 'Nothing has all of these words.';
    lists.hidden = words.length > 0;
  });
  search.addEventListener('keydown', (event) => {
    if (event.key === 'Enter') results.querySelector('a')?.click();
  });

  // The table of all statements, by any column: texts from A, times from the longest.
  for (const head of find('.sortable th')) {
    const column = head.cellIndex, body = head.closest('table').tBodies[0];
    const value = (row) => row.cells[column].querySelector('data')?.value ?? row.cells[column].textContent;
    const order = column > 1 ? (a, b) => (Number(b) || 0) - (Number(a) || 0) : (a, b) => a.localeCompare(b);
    const sort = () => body.append(...[...body.rows].sort((a, b) => order(value(a), value(b))));
    head.tabIndex = 0;
    head.addEventListener('click', sort);
    head.addEventListener('keydown', (event) => { if (event.key === 'Enter') sort(); });
  }
})();
