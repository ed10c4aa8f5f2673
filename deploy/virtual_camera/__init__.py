"""A virtual hall: cameras that speak real ONVIF and real RTSP, for trying Sunhall and for its tests.

`python -m deploy.virtual_camera` runs one; `deploy.virtual_camera.process.VirtualHall` runs one for a test.
See docs/virtual-camera.md.
"""
