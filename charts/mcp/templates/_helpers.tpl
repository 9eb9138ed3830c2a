{{/* The start of every name. 40 characters leave room for what is put behind it. */}}
{{- define "mcp.fullname" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "mcp.operator" -}}{{ include "mcp.fullname" . }}-operator{{- end -}}

{{- define "mcp.rabbitmq" -}}{{ include "mcp.fullname" . }}-rabbitmq{{- end -}}

{{/* Lease and ConfigMap of the operator: it makes them, and its Role names them. */}}
{{- define "mcp.lease" -}}{{ include "mcp.operator" . }}{{- end -}}

{{- define "mcp.epoch" -}}{{ include "mcp.fullname" . }}-broker-epoch{{- end -}}

{{/* Name of the Secret that says where RabbitMQ is and with which password. */}}
{{- define "mcp.brokerSecret" -}}
{{- if .Values.rabbitmq.enabled -}}{{ include "mcp.rabbitmq" . }}{{- else -}}{{ .Values.rabbitmq.external.existingSecret }}{{- end -}}
{{- end -}}

{{/* What a selector matches; it must never change. Called with (list $ "component"). */}}
{{- define "mcp.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Labels of every object. Called with (list $ "component"). */}}
{{- define "mcp.labels" -}}
{{- $root := index . 0 -}}
{{ include "mcp.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: mastercontrol
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "mcp.operatorImage" -}}
{{- with .Values.operator.image -}}
{{- .repository -}}:{{- default $.Chart.AppVersion .tag -}}
{{- end -}}
{{- end -}}

{{/* How every container runs, as the restricted pod security standard asks for. */}}
{{- define "mcp.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Likewise of the pod. Called with the user's id, which is also the group's. */}}
{{- define "mcp.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Where a pod may run. Called with the values of its component. */}}
{{- define "mcp.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/*
The environment of the operator and of the check that `helm test` runs. A whole number is a float in a template, which
would be written as 1e+06; toJson writes it as it is.
*/}}
{{- define "mcp.operatorEnv" -}}
- name: MCP_POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: MCP_POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: MCP_NAMESPACES
  value: {{ eq .Values.scope "cluster" | ternary "" .Release.Namespace | quote }}
- name: MCP_REPLICAS
  value: {{ max 1 (int .Values.operator.replicas) | quote }}
- name: MCP_LEASE_NAME
  value: {{ include "mcp.lease" . }}
- name: MCP_EPOCH_CONFIGMAP
  value: {{ include "mcp.epoch" . }}
- name: MCP_AMQP_URL
  valueFrom:
    secretKeyRef:
      name: {{ include "mcp.brokerSecret" . }}
      key: amqp-url
- name: MCP_MANAGEMENT_URL
  valueFrom:
    secretKeyRef:
      name: {{ include "mcp.brokerSecret" . }}
      key: management-url
{{- range $name, $value := .Values.operator.settings }}
- name: MCP_{{ snakecase $name | upper }}
  value: {{ kindIs "string" $value | ternary $value (toJson $value) | quote }}
{{- end }}
{{- end -}}

{{/*
Passwords of our own RabbitMQ as JSON {password, erlangCookie}: as given, else those of the Secret that is there, else
new ones. Kept in .Values, so that all templates of one run see the same.
*/}}
{{- define "mcp.auth" -}}
{{- $auth := .Values.rabbitmq.auth -}}
{{- if not (hasKey $auth "resolved") -}}
{{- $old := dig "data" dict (lookup "v1" "Secret" .Release.Namespace (include "mcp.rabbitmq" .)) -}}
{{- $password := default (dig "password" "" $old | b64dec) $auth.password -}}
{{- $cookie := default (dig "erlang-cookie" "" $old | b64dec) $auth.erlangCookie -}}
{{- $resolved := dict "password" (default (randAlphaNum 32) $password) "erlangCookie" (default (randAlphaNum 32) $cookie) -}}
{{- $_ := set $auth "resolved" $resolved -}}
{{- end -}}
{{- toJson $auth.resolved -}}
{{- end -}}
