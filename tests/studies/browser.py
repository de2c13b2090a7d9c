"""Opens a page in a headless browser: `python browser.py PAGE WIDTH STEPS.json RESULT.json`.

STEPS.json is a list of scripts, each evaluated in the page after the one before. RESULT.json gets
their values, the lines of the console, and the addresses that were asked for. Other steps are
`drag: 0.2 0.6`, which drags over these shares of the width of the curves, `height: 2000`, and
`picture: FILE` and `print: FILE`, which write what is seen as PNG or PDF.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ["QT_QPA_PLATFORM"] = "offscreen"
os.environ["QTWEBENGINE_CHROMIUM_FLAGS"] = "--no-sandbox --disable-gpu"
os.environ["QTWEBENGINE_DISABLE_SANDBOX"] = "1"

from PyQt6.QtCore import QPoint, QPointF, Qt, QTimer, QUrl
from PyQt6.QtGui import QMouseEvent
from PyQt6.QtWebEngineCore import QWebEnginePage, QWebEngineUrlRequestInterceptor
from PyQt6.QtWebEngineWidgets import QWebEngineView
from PyQt6.QtWidgets import QApplication

PAUSE = 250  # milliseconds between steps
HEIGHT = 900
PLACE = """
(() => {
  const plot = document.getElementById("plot");
  plot.scrollIntoView({block: "center"});
  return plot.getBoundingClientRect().toJSON();
})()
"""


class Asked(QWebEngineUrlRequestInterceptor):
    """Notes every address that is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def interceptRequest(self, info: Any) -> None:
        self.addresses.append(info.requestUrl().toString()[:200])


class Page(QWebEnginePage):
    """Notes what is written to the console."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        self.lines: list[str] = []

    def javaScriptConsoleMessage(self, level: Any, message: Any, line: int, source: Any) -> None:
        self.lines.append(f"{level.name}: {message} (line {line})")


def main() -> None:
    file, width, steps_file, result_file = sys.argv[1:]
    steps = json.loads(Path(steps_file).read_text())
    values: list[Any] = []
    application = QApplication(sys.argv[:1])
    view = QWebEngineView()
    page, asked = Page(view), Asked()
    page.setUrlRequestInterceptor(asked)
    view.setPage(page)
    view.resize(int(width), HEIGHT)

    def after(value: Any) -> None:
        values.append(value)
        QTimer.singleShot(PAUSE, step)

    def send(kind: Any, x: float, y: float, pressed: bool) -> None:
        target = view.focusProxy() or view
        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        button = none if kind == QMouseEvent.Type.MouseMove else left
        place = QPointF(view.mapToGlobal(QPoint(int(x), int(y))))
        buttons = left if pressed else none
        event = QMouseEvent(
            kind, QPointF(x, y), place, button, buttons, Qt.KeyboardModifier.NoModifier
        )
        QApplication.sendEvent(target, event)

    def drag(box: dict[str, float], start: float, stop: float) -> None:
        y = box["top"] + box["height"] / 2
        places = [
            box["left"] + box["width"] * (start + share * (stop - start))
            for share in (0.0, 0.25, 0.5, 0.75, 1.0)
        ]
        send(QMouseEvent.Type.MouseMove, places[0], y, False)
        send(QMouseEvent.Type.MouseButtonPress, places[0], y, True)
        for x in places[1:]:
            send(QMouseEvent.Type.MouseMove, x, y, True)
        send(QMouseEvent.Type.MouseButtonRelease, places[-1], y, False)
        after(None)

    def step() -> None:
        if not steps:
            result = {"values": values, "console": page.lines, "asked": asked.addresses}
            Path(result_file).write_text(json.dumps(result))
            application.quit()
            return
        text = steps.pop(0)
        word, _, rest = text.partition(": ")
        if word == "drag":
            start, stop = map(float, rest.split())
            page.runJavaScript(PLACE, lambda box: drag(box, start, stop))
        elif word == "picture":
            view.grab().save(rest)
            after(None)
        elif word == "height":
            view.resize(int(width), int(rest))
            after(None)
        elif word == "print":
            page.pdfPrintingFinished.connect(lambda name, done: after(done))
            page.printToPdf(rest)
        else:
            page.runJavaScript(text, after)

    view.loadFinished.connect(lambda done: after(done))
    view.load(QUrl.fromLocalFile(str(Path(file).absolute())))
    view.show()
    QTimer.singleShot(90_000, application.quit)
    application.exec()


if __name__ == "__main__":
    main()
