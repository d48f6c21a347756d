"""repl_pty.py: types at the prompt on a pseudo-terminal: editing, completion, history, Ctrl-C, Ctrl-D."""
import os
import pty
import re
import select
import shutil
import signal
import struct
import sys
import tempfile
import termios
import time
import fcntl

PROGRAM = os.environ["LUABENCH"]
LIMIT = 15.0
passed = failed = 0


class Session:
    """One run of the program, on a terminal of 100 columns."""

    def __init__(self, state, *args):
        self.text = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(XDG_STATE_HOME=state, XDG_CACHE_HOME=state, TERM="xterm", LC_ALL="C.UTF-8")
            os.execv(PROGRAM, [PROGRAM, *args])
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.wait(r"> $")

    def read(self, seconds):
        ready, _, _ = select.select([self.fd], [], [], seconds)
        if not ready:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # the other side is gone
            return False
        text = data.decode("utf-8", "replace")
        self.text += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", text)
        return bool(data)

    def wait(self, pattern, seconds=LIMIT):
        """Reads until the text since the last send matches."""
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            left = end - time.monotonic()
            if left <= 0 or not self.read(left):
                if not re.search(pattern, self.text):
                    raise AssertionError(f"no {pattern!r} in {self.text!r}")
        return self.text

    def send(self, keys):
        self.text = ""
        os.write(self.fd, keys.encode())

    def line(self, text, answer, seconds=LIMIT):
        """Types a line; the answer stands at the beginning of a line, the prompt follows."""
        self.send(text + "\n")
        return self.wait(r"(?s)\n" + answer + r".*\n> $", seconds)

    def interrupt(self):
        time.sleep(0.5)  # until it runs
        self.send("\x03")
        return self.wait(r"(?s)\^C\nerror: [^\n]*interrupted!?.*\n> $")

    def leave(self):
        self.send("\x04")
        return self.status()

    def status(self):
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
            self.read(0.05)
        raise AssertionError("the program did not end")

    def kill(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def completion(s):
    s.send("lb.zer\t")
    s.wait(r"lb\.zeros$")
    s.line("{2}", r"f32\[2\] on cpu")
    s.send("t = lb.zeros{2}\n")
    s.wait(r"\n> $")
    s.send("t:resh\t")
    s.wait("t:reshape$")
    s.send("\x15t:re\t\t")
    s.wait("t:reshape")
    s.send('\x15lb.quantizer "q8_\t')
    s.wait(r'"q8_0"$')
    s.send('\x15lb.kernel "gemm.any\t')
    s.wait(r'gemm\.any\.portable"$')
    s.send("\x15lb.rand\t\x15lb.a\t\t")
    s.wait(r"(?s)arange.*axpy")
    s.send('\x15lb.load "repl_p\t')
    s.wait(r'repl_pty\.py"$')
    s.send("\x15\thelp\x15")
    s.line("7", "7")


def more_lines(s):
    s.send("for i = 1, 2 do\n")
    s.wait(">> $")
    s.send("print(i * 11)\n")
    s.wait(">> $")
    s.line("end", "11\n22")
    s.send("f(\n")
    s.wait(">> $")
    s.send("\x03")
    s.wait(r"\^C\n> $")
    s.line("1 + 1", "2")
    s.line("local kept = 5", "note: locals")
    s.line("kept", "5")
    s.send("abandoned line\x03")
    s.wait(r"\^C\n> $")


def interrupts(s):
    s.send("kept = 9\n")
    s.wait(r"\n> $")
    s.send("while true do end\n")
    s.interrupt()
    s.send("while true do pcall(function() while true do end end) end\n")
    s.interrupt()
    s.send("function loop() local n = 0 while true do n = n + 1 end end\n")
    s.wait(r"\n> $")
    s.send("coroutine.wrap(loop)()\n")
    s.interrupt()
    s.send("p = lb.plan():gemm{ x = lb.zeros{1, 256}, w = lb.zeros{256, 256} }\n")
    s.wait(r"\n> $")
    s.send("lb.measure(p, { max_time_s = 600, precision = 1e-9 })\n")
    s.interrupt()
    s.send("while true do p:run() end\n")
    s.interrupt()
    s.line("kept", "9")


def quantizing(s):
    s.send("w = lb.zeros{16384, 8192}\n")
    s.wait(r"\n> $")
    s.send('for i = 1, 50 do w:quantize "q3_k" end\n')
    s.interrupt()
    s.line("w.shape[1]", "16384")


def errors(s):
    s.line("nosuch", "error: input:1: undefined variable 'nosuch'")
    s.line("lb.rand", 'error: .*did you mean "randn"')
    s.line('lb.quantizer "q4_z"', "error: input:1: ")


def check(name, f, *args):
    global passed, failed
    state = tempfile.mkdtemp()
    session = None
    try:
        session = Session(state, *args)
        f(session)
        status = session.leave()
        assert status == 0, f"exit status {status} after Ctrl-D"
        passed += 1
    except AssertionError as problem:
        failed += 1
        print(f"FAILED: {name}: {problem}")
    finally:
        if session:
            session.kill()
        shutil.rmtree(state)


def history():
    """What one session typed, the next one gets with the up arrow; also after a death by SIGKILL."""
    global passed, failed
    state = tempfile.mkdtemp()
    session = None
    try:
        session = Session(state)
        session.line("100 + 23", "123")
        session.line('"é" .. 1', "é1")
        session.kill()
        session = Session(state)
        session.send("\x1b[A\x1b[A\n")
        session.wait(r"(?s)\n123\n> $")
        session.send("\x10\n")
        session.wait(r"(?s)\n123\n> $")
        session.send("\x12é\n\n")
        session.wait(r"(?s)\né1\n.*> $")
        assert session.leave() == 0
        passed += 1
    except AssertionError as problem:
        failed += 1
        print(f"FAILED: history: {problem}")
    finally:
        if session:
            session.kill()
        shutil.rmtree(state)


def script_loop():
    """A function of the script of -i that loops for ever, called from the prompt, and hot when it was loaded."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write("local function step(n) return n + 1 end\nfor i = 1, 1e5 do step(i) end\n"
                     "function spin() local n = 0 while true do n = step(n) end end\n")
        script.flush()

        def spin(s):
            s.send("spin()\n")
            s.interrupt()
            s.line("1 + 1", "2")

        check("a script's endless loop", spin, "-i", script.name)


def terminated():
    """SIGTERM at the prompt leaves with status 143."""
    global passed, failed
    state = tempfile.mkdtemp()
    session = Session(state)
    try:
        os.kill(session.pid, signal.SIGTERM)
        status = session.status()
        assert status == 143, f"exit status {status} after SIGTERM"
        passed += 1
    except AssertionError as problem:
        failed += 1
        print(f"FAILED: SIGTERM: {problem}")
    finally:
        session.kill()
        shutil.rmtree(state)


def main():
    probe = tempfile.mkdtemp()
    session = Session(probe)
    missing = "no line editing" in session.text
    session.kill()
    shutil.rmtree(probe)
    if missing:
        print("skipped: libedit is not there")
        sys.exit(77)
    for name, f in (("completion", completion), ("more lines", more_lines), ("errors", errors),
                    ("Ctrl-C", interrupts), ("Ctrl-C while quantizing", quantizing)):
        check(name, f)
    history()
    script_loop()
    terminated()
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
