"""Give a file CAP_NET_RAW, permitted and not effective, without setcap: `python3 file_capability.py FILE`.

Not effective: the file can be executed where the capability is not in the bounding set, and then has none.
"""

import os
import struct
import sys

VERSION_2 = 0x02000000  # linux/capability.h: VFS_CAP_REVISION_2, without VFS_CAP_FLAGS_EFFECTIVE
NET_RAW = 1 << 13

# magic, then permitted and inheritable: of the first 32 capabilities, of the others
os.setxattr(sys.argv[1], "security.capability", struct.pack("<5I", VERSION_2, NET_RAW, 0, 0, 0))
