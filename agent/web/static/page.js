// Reading needs none of this. It adds keys, and brings calls in progress up to date.
"use strict";
const main = document.getElementById("main");
const rows = () => [...document.querySelectorAll("tr[data-call]")];
let chosen = -1;

function choose(step) {
  const all = rows();
  if (!all.length) return;
  chosen = Math.min(all.length - 1, Math.max(0, chosen + step));
  all.forEach((row, number) => row.classList.toggle("chosen", number === chosen));
  all[chosen].querySelector("a").focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, textarea, select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const search = document.getElementById("q");
  if (event.key === "/" && search) {
    event.preventDefault();
    search.focus();
    search.select();
  } else if (event.key === "j") choose(1);
  else if (event.key === "k") choose(-1);
});

// The same page again, in place of what is shown: what was opened stays open, the focus stays where it was.
async function refresh(seconds) {
  await new Promise((done) => setTimeout(done, seconds * 1000));
  if (document.hidden) return refresh(seconds);
  let next = seconds;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
    if (answer.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("main");
      const open = new Set([...main.querySelectorAll("details[open]")].map((one) => one.id));
      fresh.querySelectorAll("details").forEach((one) => (one.open = open.has(one.id)));
      const focus = document.activeElement && document.activeElement.closest("details");
      if (fresh.innerHTML !== main.innerHTML) {
        main.replaceChildren(...fresh.childNodes);
        const again = focus && document.getElementById(focus.id);
        if (again) again.querySelector("summary").focus({ preventScroll: true });
      }
      next = Number(fresh.dataset.refresh || 0);
    }
  } catch {
    next = seconds * 2;
  }
  if (next) refresh(Math.min(next, 60));
  else delete main.dataset.refresh;
}
if (main && main.dataset.refresh) refresh(Number(main.dataset.refresh));
