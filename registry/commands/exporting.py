"""`tunewright export`."""

import argparse

from tunewright.registry.commands.command import Command, add_json, add_reference
from tunewright.registry.commands.output import print_json, say
from tunewright.registry.commands.pulling import a_folder, refuse_ours
from tunewright.registry.completion import names_a
from tunewright.registry.export.hub import export_hub
from tunewright.registry.export.mlflow import export_mlflow
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import Store
from tunewright.registry.versions.reference import resolve

_FORMS = {
    "hf": (export_hub, "a folder for Hugging Face's programs: transformers opens its weights, optimum its graphs"),
    "mlflow": (export_mlflow, "a folder that mlflow.pyfunc loads and scores, with the light predictor of the server"),
}


def _add(made: argparse.ArgumentParser) -> None:
    add_reference(made)
    forms = made.add_mutually_exclusive_group(required=True)
    for name, (_, said) in _FORMS.items():
        names_a(forms.add_argument(f"--{name}", type=a_folder, metavar="DIR", help=said), "directory")
    add_json(made)


def _export(store: Store, options: argparse.Namespace) -> int:
    form, target = next((form, where) for name, (form, _) in _FORMS.items() if (where := vars(options)[name]))
    refuse_ours(store, target)
    done = form(store, resolve(store, options.reference), target, cache=RegistrySettings().cache)
    if options.json:
        told = {"version": str(done.version), "place": done.place, "files": done.files, "remarks": done.remarks}
        print_json(told)
        return 0
    say(f"{done.version} is exported: {len(done.files)} files, in {done.place}")
    for remark in done.remarks:
        say(f"note: {remark}")
    return 0


EXPORT = Command(_add, _export)
