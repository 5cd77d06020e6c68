/**
 * Lets xterm.js draw under the policy `default-src 'self'`, which forbids style elements and style attributes written as text, and both are
 * how its DOM renderer sizes and colours cells (xterm.js 6.0.0, `DomRenderer.ts` and `DomRendererRowFactory.ts`, on the global document).
 * A style element made while a terminal opens feeds an adopted style sheet instead, and `setAttribute('style', ...)` on a span goes
 * through the object model. Both are allowed, because they can only be done by script that is already allowed.
 */

/** Once per page. React sets styles through the object model already; only spans, which xterm makes, are changed. */
export function allowSpanStyles(): void {
  HTMLSpanElement.prototype.setAttribute = function setAttribute(name: string, value: string): void {
    if (name === 'style') this.style.cssText = value;
    else Element.prototype.setAttribute.call(this, name, value);
  };
}

/** Runs `work`; style elements that it makes become adopted style sheets, which live until the elements are removed. */
export function withAdoptedStyles(work: () => void): void {
  Object.defineProperty(document, 'createElement', {
    configurable: true,
    value: (tag: string) => (tag === 'style' ? styleStandIn() : Document.prototype.createElement.call(document, tag)),
  });
  try {
    work();
  } finally {
    Reflect.deleteProperty(document, 'createElement');
  }
}

/** An empty element whose text becomes a style sheet of the document. */
function styleStandIn(): HTMLElement {
  const element = Document.prototype.createElement.call(document, 'template');
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets.push(sheet);
  Object.defineProperty(element, 'textContent', {
    set: (css: string) => {
      sheet.replaceSync(css);
    },
  });
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((other) => other !== sheet);
    Element.prototype.remove.call(element);
  };
  return element;
}
