"""An SMTP server of another domain: takes all mail and remembers it."""

import collections
import socket
import socketserver
import threading

Message = collections.namedtuple("Message", "sender recipients text")


class _Session(socketserver.StreamRequestHandler):
    timeout = 60

    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        self.server.connections.append(self.connection)
        sender, recipients = "", []
        self.say("220 sink.example ESMTP")
        for line in iter(self.rfile.readline, b""):
            verb, _, rest = line.decode(errors="replace").strip().partition(" ")
            path = rest[rest.find("<") + 1:rest.find(">")]
            if verb.upper() == "MAIL":
                sender, recipients = path, []
            elif verb.upper() == "RCPT":
                recipients.append(path)
            elif verb.upper() == "DATA":
                self.say("354 go on")
                text = b"".join(iter(self.rfile.readline, b".\r\n"))
                self.server.messages.append(Message(sender, recipients, text))
            elif verb.upper() == "QUIT":
                self.say("221 bye")
                return
            self.say("250 2.0.0 taken" if verb.upper() not in ("EHLO", "HELO") else "250 sink.example")


class SmtpSink(socketserver.ThreadingTCPServer):
    """Runs until stop()."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port):
        super().__init__(("127.0.0.1", port), _Session)
        self.messages = []
        self.connections = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self):
        self.shutdown()
        self.server_close()
        # Clients keep connections for more.
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # ended already
