// Refreshes the page, and says so loudly when nobody answers: a tab that looks fine
// although its server is gone is worse than none.
(() => {
	"use strict";
	const every = 10_000;
	const lost = document.getElementById("lost");
	let heard = Date.now();

	const reading = () => !getSelection().isCollapsed && Date.now() - heard < 6 * every;

	async function refresh() {
		const answer = await fetch(location.pathname, { cache: "no-store", signal: AbortSignal.timeout(every * 0.8) });
		if (!answer.ok) throw new Error(answer.status);
		const next = new DOMParser().parseFromString(await answer.text(), "text/html");
		const focused = document.activeElement.closest("main a")?.getAttribute("href");
		for (const open of document.querySelectorAll("main details[open]")) next.getElementById(open.id)?.setAttribute("open", "");
		document.querySelector("main").replaceWith(next.querySelector("main"));
		if (focused) document.querySelector(`main a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
		document.querySelector("link[rel=icon]").replaceWith(next.querySelector("link[rel=icon]"));
		document.title = next.title;
		heard = Date.now();
		lost.hidden = true;
	}

	function silence() {
		lost.textContent = "No answer from reaper since " + new Date(heard).toISOString().slice(11, 19) + " UTC. What you see below is from then.";
		lost.hidden = false;
		document.querySelector("main").classList.add("old");
		document.title = "No answer – reaper";
	}

	async function turn() {
		if (!document.hidden && !reading()) await refresh().catch(silence);
		setTimeout(turn, every);
	}

	document.addEventListener("visibilitychange", () => document.hidden || refresh().catch(silence));
	setTimeout(turn, every);
	document.documentElement.dataset.refreshes = every;
})();
