{{/* What ends the name of each object. */}}
{{- define "tunewright.suffix" -}}
{{- if .Values.instance }}-{{ .Values.instance }}{{ end }}
{{- end }}

{{/* The image, by its digest where one is given. */}}
{{- define "tunewright.image" -}}
{{- with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}{{ end }}
{{- end }}

{{/* The variables' name ends in a digest of them, as kustomize makes it, so that a change reaches the pods. */}}
{{- define "tunewright.environment" -}}
{{- range list "SERVING_MODEL" "SERVING_WAIT" "SERVING_THREADS" "SERVING_METRICS_PORT" "AWS_SHARED_CREDENTIALS_FILE" }}
{{- if hasKey $.Values.environment . }}
{{- fail (printf "environment.%s has no effect: the chart sets it itself, SERVING_MODEL by model and alias" .) }}
{{- end }}
{{- end }}
{{- $name := print "environment" (include "tunewright.suffix" .) }}
{{- $digest := dict "kind" "ConfigMap" "name" "" "data" .Values.environment | toJson | sha256sum | trunc 10 }}
{{- $digest = $digest | replace "0" "g" | replace "1" "h" | replace "3" "k" | replace "a" "m" | replace "e" "t" }}
{{- $name }}-{{ $digest }}
{{- end }}
