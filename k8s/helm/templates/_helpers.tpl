{{/* What ends the name of each object. */}}
{{- define "tunewright.suffix" -}}
{{- if .Values.instance }}-{{ .Values.instance }}{{ end }}
{{- end }}

{{/* The image, by its digest where one is given. */}}
{{- define "tunewright.image" -}}
{{- if eq .Values.image.tag "latest" }}
{{- fail "image.tag is latest, which is another image after each push: servers would differ, and a rollback would bring nothing back; name a version, or set image.digest" }}
{{- end }}
{{- with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}{{ end }}
{{- end }}

{{/* Refuses what the autoscalers could not follow. */}}
{{- define "tunewright.scaling" -}}
{{- if and .Values.components.autoscale (index .Values.components "autoscale-requests") }}
{{- fail "components.autoscale and components.autoscale-requests would each set the number of servers: choose one" }}
{{- end }}
{{- with .Values.autoscale }}
{{- if gt (int .minReplicas) (int .maxReplicas) }}
{{- fail (printf "autoscale.minReplicas is %d, more than autoscale.maxReplicas, %d" (int .minReplicas) (int .maxReplicas)) }}
{{- end }}
{{- end }}
{{- end }}

{{/* What KEDA asks Prometheus: as it stands, of all servers of the namespace that the manifests name. */}}
{{- define "tunewright.query" -}}
{{- $named := printf "namespace=%q" "tunewright" }}
{{- if and (contains $named .Values.autoscale.query) (ne .Release.Namespace "tunewright") }}
{{- fail (printf "autoscale.query asks for servers of the namespace tunewright, and this release is in %s: name it in the query" .Release.Namespace) }}
{{- end }}
{{- if and .Values.instance (not (contains .Values.instance .Values.autoscale.query)) }}
{{- fail (printf "autoscale.query counts the requests of other servers of the namespace too, and this one is %s: name its pods in the query, pod=~%q" .Values.instance (printf "serving-%s-.*" .Values.instance)) }}
{{- end }}
{{- .Values.autoscale.query }}
{{- end }}

{{/* The variables' name ends in a digest of them, as kustomize makes it, so that a change reaches the pods. */}}
{{- define "tunewright.environment" -}}
{{- include "tunewright.scaling" . }}
{{- range list "SERVING_MODEL" "SERVING_WAIT" "SERVING_THREADS" "SERVING_METRICS_PORT" "AWS_SHARED_CREDENTIALS_FILE" }}
{{- if hasKey $.Values.environment . }}
{{- fail (printf "environment.%s has no effect: the chart sets it itself, SERVING_MODEL by model and alias" .) }}
{{- end }}
{{- end }}
{{- if hasKey .Values.environment "SERVING_PORT" }}
{{- fail "environment.SERVING_PORT would take the server from the port at which its Service and its probes look: leave it out" }}
{{- end }}
{{- $name := print "environment" (include "tunewright.suffix" .) }}
{{- $digest := dict "kind" "ConfigMap" "name" "" "data" .Values.environment | toJson | sha256sum | trunc 10 }}
{{- $digest = $digest | replace "0" "g" | replace "1" "h" | replace "3" "k" | replace "a" "m" | replace "e" "t" }}
{{- $name }}-{{ $digest }}
{{- end }}
