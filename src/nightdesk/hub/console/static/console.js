// Keeps lists and runs up to date and says when a case has changed. Everything works without it.
"use strict";

(() => {
  const freshness = document.getElementById("freshness");
  const clock = () => new Date().toISOString().slice(11, 19) + " UTC";

  function every(seconds, work) {
    const turn = async () => {
      if (!document.hidden) {
        try {
          await work();
        } catch {
          freshness.textContent = "The hub cannot be reached; trying again.";
        }
      }
      setTimeout(turn, seconds * 1000);
    };
    setTimeout(turn, seconds * 1000);
  }

  async function fetched(url) {
    const answer = await fetch(url, { credentials: "same-origin", redirect: "manual" });
    if (answer.type === "opaqueredirect" || answer.status === 401) {
      location.reload(); // The session is over: the server sends the sign-in page.
      return null;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.text();
  }

  const queue = document.querySelector("[data-refresh]");
  if (queue) {
    let shown = null;
    every(Number(queue.dataset.seconds), async () => {
      const text = await fetched(queue.dataset.refresh);
      if (text === null) return;
      const selecting = !getSelection().isCollapsed;
      if (text !== shown && !selecting) {
        const focused = queue.contains(document.activeElement) ? document.activeElement.id : "";
        const places = [...queue.querySelectorAll(".flow[id]")].map((one) => [one.id, one.scrollLeft, one.scrollTop]);
        queue.innerHTML = text; // Our own server's page, escaped there; the policy forbids any script in it.
        for (const [id, left, top] of places) document.getElementById(id)?.scrollTo(left, top);
        if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
        shown = text;
      }
      freshness.textContent = "Up to date at " + clock() + ".";
    });
  }

  const changed = document.getElementById("changed");
  if (changed) {
    every(Number(changed.dataset.seconds), async () => {
      const version = await fetched(changed.dataset.watch);
      if (version !== null && version !== changed.dataset.version) changed.hidden = false;
    });
  }
})();
