"""A headless Chromium for tests, driven by the DevTools protocol over a pipe; needs the standard library only."""
import base64, json, os, queue, shutil, subprocess, sys, threading, time
from pathlib import Path

names = 'chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'


def find_browser():
    "The program, or None; CHROMIUM names another"
    return os.environ.get('CHROMIUM') or next(filter(None, map(shutil.which, names)), None)


class Browser:
    "One process; `page` opens a tab in a profile of its own"

    def __init__(self, folder):
        flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-extensions', '--mute-audio',
                 '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-default-apps', '--no-proxy-server', '--hide-scrollbars',
                 f'--user-data-dir={folder}', '--remote-debugging-pipe', 'about:blank']
        theirs, mine = os.pipe()
        heard, said = os.pipe()
        # the pipes become the file numbers 3 and 4, by which Chromium knows them
        become = 'import fcntl, os, sys; a, b = (fcntl.fcntl(int(n), fcntl.F_DUPFD, 100) for n in sys.argv[1:3]); os.dup2(a, 3); os.dup2(b, 4); os.execvp(sys.argv[3], sys.argv[3:])'
        command = [sys.executable, '-SEc', become, str(theirs), str(said), find_browser(), *flags]
        self.process = subprocess.Popen(command, pass_fds=(theirs, said), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(theirs)
        os.close(said)
        self.to, self.replies, self.listeners, self.number = mine, {}, {}, 0
        self.lock = threading.Lock()
        threading.Thread(target=self._listen, args=(heard,), daemon=True).start()

    def _listen(self, fd):
        raw = b''
        while piece := os.read(fd, 1 << 16):
            *whole, raw = (raw + piece).split(b'\0')
            for message in map(json.loads, whole):
                if 'id' in message:
                    self.replies.pop(message['id']).put(message)
                elif (page := self.listeners.get(message.get('sessionId'))) is not None:
                    page.hear(message['method'], message['params'])
        os.close(fd)

    def call(self, method, session=None, wait=60, **params):
        "What the browser answers; raises what it refuses"
        reply = queue.Queue()
        with self.lock:
            self.number += 1
            self.replies[self.number] = reply
            message = dict(id=self.number, method=method, params=params) | (dict(sessionId=session) if session else {})
            raw = json.dumps(message).encode() + b'\0'
            while raw:
                raw = raw[os.write(self.to, raw):]
        found = reply.get(timeout=wait)
        assert 'error' not in found, (method, found)
        return found['result']

    def page(self, url, **looks):
        context = self.call('Target.createBrowserContext')['browserContextId']
        return Page(self, context, url, **looks)

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.to)


class Page:
    "A tab that notes what goes wrong in it and whom it asks"

    def __init__(self, browser, context, url, width=1400, height=900, dark=False):
        self.browser, self.errors, self.urls = browser, [], []
        self.target = browser.call('Target.createTarget', url='about:blank', browserContextId=context)['targetId']
        self.session = browser.call('Target.attachToTarget', targetId=self.target, flatten=True)['sessionId']
        browser.listeners[self.session] = self
        for domain in ('Page', 'Runtime', 'Log', 'Network'):
            self.call(f'{domain}.enable')
        self.look(width, height, dark)
        self.call('Page.navigate', url=url)

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def hear(self, method, params):
        if method == 'Network.requestWillBeSent':
            self.urls.append(params['request']['url'])
        elif method == 'Runtime.exceptionThrown':
            self.errors.append(json.dumps(params['exceptionDetails'])[:500])
        elif method == 'Runtime.consoleAPICalled' and params['type'] in ('error', 'warning', 'assert'):
            self.errors.append(json.dumps(params['args'])[:500])
        elif method == 'Log.entryAdded' and params['entry']['level'] in ('error', 'warning'):
            self.errors.append(json.dumps(params['entry'])[:500])

    def look(self, width, height, dark):
        "The size of the window, and which colors the reader wants"
        self.call('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        scheme = dict(name='prefers-color-scheme', value='dark' if dark else 'light')
        self.call('Emulation.setEmulatedMedia', features=[scheme])

    def run(self, code):
        "The value of an expression of JavaScript, awaited"
        found = self.call('Runtime.evaluate', expression=code, awaitPromise=True, returnByValue=True)
        assert 'exceptionDetails' not in found, (code, found)
        return found['result'].get('value')

    def wait(self, code, seconds=30):
        "Wait until an expression is true; its value, and after how many seconds"
        began = time.monotonic()
        while not (value := self.run(f'(() => {{ try {{ return {code} }} catch {{ return null }} }})()')):
            assert time.monotonic() - began < seconds, (f'not within {seconds} s: {code}', self.run('document.body?.innerText'), self.errors)
            time.sleep(0.03)
        return value, time.monotonic() - began

    def press(self, *keys):
        "Keys, one after the other: characters, or names such as Enter"
        codes = dict(Enter=13, Escape=27, Tab=9, ArrowDown=40, ArrowUp=38)
        for key in keys:
            about = dict(key=key, windowsVirtualKeyCode=codes.get(key, ord(key[0].upper())))
            text = dict(text='\r') if key == 'Enter' else dict(text=key) if len(key) == 1 else {}
            self.call('Input.dispatchKeyEvent', type='keyDown', **about, **text)
            self.call('Input.dispatchKeyEvent', type='keyUp', **about)

    def click(self, selector):
        "A click with the mouse on the middle of an element"
        find = f'''(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'nearest'}});
                   const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] }})()'''
        x, y = self.run(find)
        for kind in ('mousePressed', 'mouseReleased'):
            self.call('Input.dispatchMouseEvent', type=kind, x=x, y=y, button='left', clickCount=1)

    def screenshot(self, file, whole=True):
        size = self.call('Page.getLayoutMetrics')['cssContentSize']
        clip = dict(x=0, y=0, width=size['width'], height=size['height'], scale=1)
        more = dict(clip=clip, captureBeyondViewport=True) if whole else {}
        Path(file).write_bytes(base64.b64decode(self.call('Page.captureScreenshot', format='png', **more)['data']))

    def close(self):
        "As when somebody closes the tab: the page hears of it"
        self.browser.call('Target.closeTarget', targetId=self.target)
