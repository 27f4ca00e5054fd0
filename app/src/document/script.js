// Adds the reader's own times, live progress and fresh contents. Everything on the page works without it.
(() => {
  const main = document.querySelector('main');
  const all = (query) => [...document.querySelectorAll(query)];

  // Times: "09:57 UTC" gets "(10:57 your time)" beside it, with the day where that differs.
  const local = (options) => new Intl.DateTimeFormat(undefined, options);
  const addLocalTimes = () => {
    for (const time of all('time[data-local]')) {
      const at = new Date(time.dateTime);
      time.removeAttribute('data-local');
      if (!at.getTimezoneOffset()) continue;
      const sameDay = at.getDate() === at.getUTCDate();
      const text = local(sameDay ? { timeStyle: 'short' } : { dateStyle: 'medium', timeStyle: 'short' }).format(at);
      const beside = time.nextElementSibling;
      const span = beside?.className === 'local' ? beside : document.createElement('span');
      span.textContent = `(${text} your time)`;
      if (span === beside) continue;
      span.className = 'local';
      time.after(' ', span);
    }
  };

  // Fresh contents: the parts of the page that changed are replaced; a part waits while a form in it has the focus.
  const served = new Map(all('[data-part]').map((part) => [part.id, part.innerHTML]));
  let busy = false;
  let wanted;
  const refresh = async () => {
    if (busy) return;
    busy = true;
    try {
      const answer = await fetch(location.href, { cache: 'no-cache' });
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
      let waiting = false;
      let changed = false;
      for (const part of all('[data-part]')) {
        const next = fresh.getElementById(part.id);
        if (!next || next.innerHTML === served.get(part.id)) continue;
        const focus = part.contains(document.activeElement) ? document.activeElement : null;
        if (focus?.form) {
          waiting = true;
          continue;
        }
        served.set(part.id, next.innerHTML);
        part.innerHTML = next.innerHTML;
        if (focus) part.querySelector(`a[href="${focus.getAttribute('href')}"]`)?.focus({ preventScroll: true });
        changed = true;
      }
      if (!waiting) {
        for (const key of Object.keys(main.dataset)) delete main.dataset[key];
        Object.assign(main.dataset, fresh.querySelector('main').dataset);
      }
      document.title = fresh.title;
      addLocalTimes();
      if (changed) document.getElementById('news').textContent = 'This page was updated.';
    } catch {
      // No network: the notice about old facts says so.
    } finally {
      setTimeout(() => {
        busy = false;
        if (wanted && wanted !== main.dataset.version) refresh();
      }, 3000);
    }
  };

  // Progress, in the words of the server (incidents/public/progress.rs).
  const count = (n) => n.toLocaleString('en');
  const bytes = (n) => {
    const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
    let unit = 0;
    for (; n >= 999.95 && unit < 5; n /= 1000) unit += 1;
    return `${unit ? n.toFixed(n < 9.995 ? 2 : 1) : n} ${units[unit]}`;
  };
  const duration = (seconds) => {
    const s = Math.round(Math.max(0, seconds));
    const two = (big, bigUnit, small, smallUnit) => `${big} ${bigUnit}${small ? ` ${small} ${smallUnit}` : ''}`;
    const part = (unit) => Math.floor(s / unit);
    if (s < 60) return `${s} s`;
    if (s < 3600) return two(part(60), 'min', s % 60, 's');
    if (s < 86400) return two(part(3600), 'h', part(60) % 60, 'min');
    return two(part(86400), 'd', part(3600) % 24, 'h');
  };
  const of = (done, total) => {
    const unit = total.slice(total.indexOf(' '));
    return `${done.endsWith(unit) ? done.slice(0, -unit.length) : done} of ${total}`;
  };
  const range = ({ low_seconds, high_seconds }) => {
    const [low, high] = [duration(low_seconds), duration(high_seconds)];
    if (low === high) return high;
    const rest = (text) => text.slice(text.indexOf(' '));
    return rest(low) === rest(high) ? `${low.split(' ')[0]}–${high}` : `${low} – ${high}`;
  };
  const words = (p) => {
    const files = (n) => `${count(n)} ${n === 1 ? 'file' : 'files'}`;
    if (p.state === 'finished') {
      if (p.files_done < p.files_total) return `Finished: ${count(p.files_done)} of ${files(p.files_total)} are back and verified.`;
      return `Finished: ${p.files_total === 1 ? 'the file is' : `all ${files(p.files_total)} are`} back and verified.`;
    }
    if (p.state === 'planning' || !p.files_total) return 'We are working out which files to bring back, and from which backup.';
    const far = `${count(p.files_done)} of ${files(p.files_total)} are back (${p.percent}\u00a0%), ${of(bytes(p.bytes_done), bytes(p.bytes_total))}`;
    if (p.state === 'paused') return `Paused: ${far}. Nothing is lost, it goes on from here.`;
    return `${far}; ${p.eta ? `about ${range(p.eta)} to go` : 'how long it still takes is not known yet'}.`;
  };
  const show = (p, index) => {
    for (const box of all(`[data-restore="${index}"]`)) {
      const bar = box.querySelector('progress');
      if (p.state === 'planning' || !p.files_total) bar.removeAttribute('value');
      else bar.value = p.percent;
      box.querySelector('.far').textContent = words(p);
    }
  };

  // How old are the facts?
  const utc = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short', timeZone: 'UTC' });
  const asOf = (text) => {
    main.dataset.asOf = text;
    const time = document.querySelector('#as-of time');
    if (!time) return;
    time.dateTime = text;
    time.textContent = `${utc.format(new Date(text))} UTC`;
    time.setAttribute('data-local', '');
    addLocalTimes();
  };
  const checkAge = () => {
    const stale = document.getElementById('stale');
    if (stale) stale.hidden = Date.now() - new Date(main.dataset.asOf) < 120000;
  };

  addLocalTimes();
  if (main.dataset.live) {
    const source = new EventSource(main.dataset.live);
    source.onmessage = (event) => {
      const news = JSON.parse(event.data);
      wanted = news.version;
      if (wanted !== main.dataset.version) refresh();
      else news.restores.forEach(show);
      asOf(news.as_of);
      checkAge();
    };
    setTimeout(checkAge, 5000);
    setInterval(() => {
      checkAge();
      if (source.readyState === EventSource.CLOSED) refresh();
    }, 30000);
  }
  if (main.dataset.poll) {
    setInterval(() => {
      if (main.dataset.poll && !document.hidden) refresh();
    }, 5000);
  }
})();
