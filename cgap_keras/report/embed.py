"""A chart as part of a page: inline SVG that follows the page's fonts and its light or dark theme."""

import html
import re
from xml.etree import ElementTree

from cgap_keras.report import canvas, palette

_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"


def inline_svg(figure, name, label, titles=None):
    """Turns a matplotlib figure into an `<svg>` element for an HTML page.

    The colours of the palette become CSS custom properties, fonts are left to the page, and every id is made unique by
    `name`. XML namespaces, metadata and style sheets are dropped: in HTML the element needs none of them, and a style
    sheet would reach out of it.

    Args:
        figure: The figure, drawn in the palette's light colours.
        name: A word that tells this chart apart from the page's others.
        label: What the chart shows, for readers who do not see it.
        titles: Id of a part of the figure (an artist's `gid`) -> the text shown when the pointer rests on it. Defaults
            to none.

    Returns:
        The element as text.
    """
    root = ElementTree.fromstring(canvas.render(figure, "svg"))
    _clean(root)
    _adopt(root, name, titles or {})
    width, height = root.get("viewBox").split()[2:]
    body = "".join(ElementTree.tostring(child, encoding="unicode") for child in root)
    return (
        f'<svg class="{name}" viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(label)}">{body}</svg>'
    )


def _clean(element):
    for child in list(element):
        if child.tag in (f"{_SVG}style", f"{_SVG}metadata") or not child.tag.startswith(_SVG):
            element.remove(child)
        else:
            _clean(child)


def _adopt(root, name, titles):
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        old = element.attrib.get("id")
        for key, value in list(element.attrib.items()):
            if key == _LINK:
                del element.attrib[key]
                element.set("href", value.replace("#", f"#{name}-"))
            elif key == "id":
                element.set(key, f"{name}-{value}")
            else:
                element.set(key, palette.to_variables(_without_font(value)).replace("url(#", f"url(#{name}-"))
        if old in titles:
            title = ElementTree.Element("title")
            title.text = titles[old]
            element.insert(0, title)


def _without_font(style):
    """A style whose fonts keep size and weight but not the family: that is the page's."""
    return re.sub(r"font: ((?:[\w.]+ )*)([\d.]+px)[^;]*", lambda match: _font(match[1].split(), match[2]), style)


def _font(words, size):
    weight = next((word for word in words if word == "bold" or word.isdigit()), "normal")
    return f"font-size: {size}; font-weight: {weight}"
