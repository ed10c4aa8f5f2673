"""GStreamer's RTSP server as cameras that we did not write. Runs under /usr/bin/python3, reads one JSON argument.

{"port": 0, "user": "", "password": "", "mounts": {"/h264": {"media": "long.mp4", "kind": "h264"}}}
kind: h264 | h264aac | h264pcma | h265 | mp2t (an MPEG transport stream over RTP); "udp": true offers UDP only;
"tls": path of a PEM file with key and certificate; "basic": true asks for the password by Basic instead of Digest.
Prints "ready <port>" when it listens.
"""

import json
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402  # the versions must be chosen first

VIDEO = "h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1"
LAUNCH = {
    "h264": "( filesrc location={media} ! qtdemux ! " + VIDEO + " )",
    "h264aac": "( filesrc location={media} ! qtdemux name=d d. ! queue ! "
    + VIDEO
    + " d. ! queue ! aacparse ! rtpmp4gpay name=pay1 pt=97 )",
    "h264pcma": "( filesrc location={media} ! matroskademux name=d d. ! queue ! "
    + VIDEO
    + " d. ! queue ! rtppcmapay name=pay1 pt=8 )",
    "h265": "( filesrc location={media} ! qtdemux ! h265parse ! rtph265pay name=pay0 pt=96 config-interval=-1 )",
    "mp2t": "( filesrc location={media} ! qtdemux ! h264parse config-interval=-1 ! mpegtsmux ! rtpmp2tpay name=pay0 )",
}


def factory(mount, roles):
    made = GstRtspServer.RTSPMediaFactory()
    made.set_launch(LAUNCH[mount["kind"]].format(media=mount["media"]))
    made.set_shared(bool(mount.get("shared")))
    if mount.get("udp"):
        made.set_protocols(GstRtsp.RTSPLowerTrans.UDP)
    if roles is not None:
        made.add_role_from_structure(roles)
    return made


def protect(server, wanted):
    """Sets up password and TLS; the role that may play, or None when there is neither."""
    if not wanted.get("tls") and not wanted.get("user"):
        return None
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    if wanted.get("tls"):
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(wanted["tls"]))
    if wanted.get("user"):
        if wanted.get("basic"):
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
            auth.add_basic(auth.make_basic(wanted["user"], wanted["password"]), token)
        else:
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
            auth.add_digest(wanted["user"], wanted["password"], token)
    else:
        auth.set_default_token(token)
    server.set_auth(auth)
    permissions = "media.factory.access=(boolean)true, media.factory.construct=(boolean)true"
    return Gst.Structure.from_string("viewer, " + permissions)[0]


def main():
    wanted = json.loads(sys.argv[1])
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(wanted.get("port", 0)))
    roles = protect(server, wanted)
    mounts = server.get_mount_points()
    for path, mount in wanted["mounts"].items():
        mounts.add_factory(path, factory(mount, roles))
    server.attach(None)
    sys.stdout.write(f"ready {server.get_bound_port()}\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


main()
