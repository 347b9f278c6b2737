"""What the job can do, for the command `tunewright`; imports nothing that takes time."""

from tunewright.registry.command_line import Group

_CLUSTER = Group(
    title="jobs on Kubernetes",
    main="tunewright.job.cluster.program:main",
    parser="tunewright.job.cluster.program:parser",
    commands={
        "submit": "run a job on a cluster through your own kubectl, follow its log, end with its exit code",
        "jobs": "how the jobs of a namespace stand",
        "cancel": "end one of them",
    },
)
GROUP = Group(
    title="make a model",
    main="tunewright.job.program:main",
    parser="tunewright.job.arguments:every_word",
    extra="job",
    needs=("torch", "transformers", "pyarrow", "onnxruntime"),
    commands={
        "init": "look at data, guess task and columns, and write a settings file",
        "train": "read data, fine-tune, export, measure, register",
        "import": "register a model that was taught elsewhere, measured on your data",
        "check": "everything up to token ids, with no GPU and no weights: what is wrong or odd in settings and data",
        "tune": "search for settings of train on the data, and write the best ones as a file",
        "suggest": "measure base models on the data and recommend one",
        "label": "choose which rows to label next, for people and their tools, and read back what they said",
        "runs": "compare the last runs of an output folder or bucket: settings, figures, curves",
        "predict": "answer with a registered version",
    },
    beside=(_CLUSTER,),
)
