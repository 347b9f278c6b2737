"""What serving can do, for the command `tunewright`; imports nothing that takes time."""

from tunewright.registry.command_line import Group

GROUP = Group(
    title="serve a model",
    main="tunewright.serving.program:main",
    parser="tunewright.serving.program:parser",
    extra="serving",
    needs=("onnxruntime", "tokenizers", "uvicorn"),
    commands={
        "serve": "answer over HTTP with a registered version, such as reviews@production",
        "drift": "what servers have met of a version, beside the rows it was measured on",
    },
)
