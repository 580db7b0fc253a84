'use strict';
const $ = id => document.getElementById(id);
const percent = (x, digits = 0) => x == null ? '–' : (100 * x).toFixed(digits) + ' %';
const count = n => n == null ? '–' : n.toLocaleString('en');

// An element; what is text stays text, so nothing that a product says becomes markup
function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) made.addEventListener(name.slice(2), value);
    else if (name === 'width') made.style.width = value;
    else if (value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter(child => child != null));
  return made;
}

function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// A chart fills its box; what it shows is said in words as well
function chart(box, height, label, draw) {
  const width = box.clientWidth || 300;
  const made = svg('svg', { width, height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label });
  draw(made, width, height);
  box.replaceChildren(made);
}

async function post(url, body, options = {}) {
  const answer = await fetch(url, {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body), ...options,
  });
  const found = await answer.json().catch(() => ({}));
  if (answer.ok) return found;
  const said = found.error ?? found.detail;
  const text = typeof said === 'string' ? said : said?.[0]?.msg ?? said?.message;
  throw Object.assign(new Error(text || `The server answered ${answer.status}.`), { status: answer.status });
}
