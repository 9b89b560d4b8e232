// What test/t/097_report.pl wants to know of a page in a frame.
function probe(frame)
{
	const page = frame.contentDocument, view = frame.contentWindow, root = page.documentElement;
	const all = [...page.querySelectorAll('body, body *')];
	const say = element => element.tagName + '.' + (element.getAttribute('class') || '') + ' ' + element.textContent.trim().slice(0, 40);
	const style = element => view.getComputedStyle(element);

	const numbers = color => { const n = (color.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number); return [n[0], n[1], n[2], n.length > 3 ? n[3] : 1]; };
	const over = (upper, lower, opacity) => [0, 1, 2].map(i => upper[i] * opacity + lower[i] * (1 - opacity));
	const light = color => { const [r, g, b] = color.map(c => { c /= 255; return c <= 0.03928 ? c / 12.92 : Math.pow((c + 0.055) / 1.055, 2.4); }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const contrast = (one, other) => { const [a, b] = [light(one), light(other)]; return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05); };

	// the colour under an element: of the nearest box that has one
	const ground = element => {
		for (let e = element; e; e = e.parentElement)
		{
			const group = e.tagName === 'g' && /wf-state|wf-mark|wf-note/.test(e.getAttribute('class')) ? e : null;
			if (group)
			{
				if (element.getAttribute('class') === 'wf-count')
					return numbers(style(group.querySelector('.wf-badge')).fill);
				let under = numbers(style(group.querySelector('.wf-shape')).fill);
				const heat = group.querySelector('.wf-heat');
				return heat ? over(numbers(style(heat).fill), under, Number(style(heat).opacity) * Number(style(heat).fillOpacity)) : under;
			}
			if (e.tagName === 'svg' && e.querySelector(':scope > .wf-ground'))
				return numbers(style(e.querySelector(':scope > .wf-ground')).fill);
			if (!(e instanceof view.SVGElement))
			{
				const color = numbers(style(e).backgroundColor);
				if (color[3] === 1)
					return color;
			}
		}
		return [255, 255, 255];
	};

	const shown = all.filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) && !['TITLE', 'title', 'desc', 'STYLE', 'style'].includes(e.tagName)
		&& e.getClientRects().length && style(e).visibility === 'visible');
	const texts = shown.map(e => {
		const svg = e instanceof view.SVGElement, under = ground(e);
		const color = numbers(svg ? style(e).fill : style(e).color);
		return { size: parseFloat(style(e).fontSize), ratio: contrast(over(color, under, color[3] * Number(style(e).opacity)), under), what: say(e), color: color, under: under };
	});
	const ids = all.map(e => e.id).filter(id => id);

	// what stands at the end of a line while its text is on the next one
	const below = mark => { const range = page.createRange(); range.selectNodeContents(mark.nextSibling); return range.getClientRects()[0].top > mark.getBoundingClientRect().bottom; };

	return {
		width: root.clientWidth, wanted: root.scrollWidth,
		outside: all.filter(e => !e.closest('.scroll, svg') && e.getClientRects().length && e.getBoundingClientRect().right > root.clientWidth + 0.5).map(say),
		texts: texts.length, smallest: Math.min(...texts.map(t => t.size)),
		faint: texts.filter(t => t.ratio < 4.5).map(t => t.what + ' ' + t.ratio.toFixed(2) + ' ' + t.color + ' on ' + t.under),
		twice: ids.filter((id, i) => ids.indexOf(id) !== i),
		active: all.filter(e => ['SCRIPT', 'IFRAME', 'OBJECT', 'EMBED', 'IMG', 'FORM', 'LINK', 'META', 'BASE'].includes(e.tagName.toUpperCase())
			|| [...e.attributes].some(a => /^on|^(src|action|formaction)$/.test(a.name) || (/href$/.test(a.name) && !a.value.startsWith('#')))).map(say),
		parted: [...page.querySelectorAll('.key i')].filter(e => e.nextSibling && below(e)).map(e => e.nextSibling.textContent),
		// rows whose first two cells, which a phone shows, do not tell them apart
		alike: [...page.querySelectorAll('table')].flatMap(t => { const heads = [...t.querySelectorAll('tbody tr')].map(e => [...e.cells].slice(0, 2).map(c => c.textContent).join(' | ')); return heads.filter((h, i) => heads.indexOf(h) !== i); }),
		names: [...page.querySelectorAll('bdi')].map(e => e.textContent),
		untitled: [...page.querySelectorAll('svg:not([aria-hidden])')].filter(e => !e.querySelector(':scope > title')).map(say),
		unscoped: [...page.querySelectorAll('th:not([scope])')].map(say),
		uncaptioned: [...page.querySelectorAll('table')].filter(e => !e.caption).map(say),
		unreachable: [...page.querySelectorAll('.scroll')].filter(e => e.tabIndex !== 0 || !e.getAttribute('aria-label')).map(say),
		headings: [...page.querySelectorAll('h1, h2')].map(e => e.textContent),
		scheme: style(root).colorScheme, ground: style(page.body).backgroundColor,
	};
}
