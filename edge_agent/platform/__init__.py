"""What the operating system does for the agent, behind one interface. Nothing else in the agent asks it anything.

`base.Platform` is the interface, `linux.LinuxPlatform` and `fake.FakePlatform` implement it. Windows joins here.
"""
