from agent.media.rtp.loss_cy cimport CELL_COUNT, CELL_DISCARDED, CELL_UNKNOWN
from agent.media.rtp.stream_table_cy cimport *
