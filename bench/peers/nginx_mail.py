"""nginx as a peer of our POP3 proxy: one store behind it, told to it by its own answer to its own question."""

import os

from processes import can_listen, free_port


class NginxMail:
    name = "nginx-peer"

    def __init__(self, processes, directory, store_port, workers=2):
        self.processes = processes
        self.directory = directory
        self.port, self.http_port = free_port(), free_port()
        user = f"user {processes.user.pw_name};" if processes.user else ""
        self.settings = f"""
load_module /usr/lib/nginx/modules/ngx_mail_module.so;
{user}
worker_processes {workers};
daemon off;
pid {directory}/nginx.pid;
error_log stderr error;
events {{ worker_connections 32768; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  server {{
    listen 127.0.0.1:{self.http_port};
    location / {{
      add_header Auth-Status OK;
      add_header Auth-Server 127.0.0.1;
      add_header Auth-Port {store_port};
      return 200;
    }}
  }}
}}
mail {{
  server_name pop.example.net;
  auth_http 127.0.0.1:{self.http_port}/;
  proxy on;
  server {{
    listen 127.0.0.1:{self.port};
    protocol pop3;
    pop3_auth plain;
  }}
}}
"""

    def start(self):
        os.makedirs(self.directory)
        configuration = os.path.join(self.directory, "nginx.conf")
        with open(configuration, "w", encoding="utf-8") as file:
            file.write(self.settings)
        self.processes.start(self.name, ["/usr/sbin/nginx", "-c", configuration, "-e", "stderr"], as_root=True,
                             ready=lambda: not can_listen(self.port))

    def stop(self):
        self.processes.stop(self.name)
