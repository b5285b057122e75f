"""The messages of `backspace.v1`, under one name: `v1.TaskSpec`, `v1.TaskEvent`, `v1.Task`…

Written by hand; the modules beside it are generated.
"""

from backspace.v1.agent_service_pb2 import *
from backspace.v1.event_pb2 import *
from backspace.v1.task_pb2 import *
