{{/* The name that the others begin with. A CronJob's may have 52 letters at most, and "-observer" is appended to it. */}}
{{- define "reaper.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 43 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 43 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 43 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "reaper.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "reaper.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "reaper.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "reaper.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The annotations of an object, or nothing: the common ones, and its own, which go before them. It is given root and own. */}}
{{- define "reaper.annotations" -}}
{{- with merge (dict) (.own | default dict) .root.Values.commonAnnotations -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{- define "reaper.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "reaper.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "reaper.image" -}}
{{- $i := .Values.image -}}
{{- $name := $i.repository -}}
{{- with $i.registry -}}{{- $name = printf "%s/%s" (trimSuffix "/" .) $name -}}{{- end -}}
{{- if $i.digest -}}
{{- printf "%s@%s" $name $i.digest -}}
{{- else -}}
{{- printf "%s:%s" $name ($i.tag | default $.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* The component that serves page and metrics, "" where there is none. */}}
{{- define "reaper.serving" -}}
{{- if eq .Values.mode "deployment" -}}
daemon
{{- else if (.Values.cronjob.observer | default dict).enabled -}}
observer
{{- end -}}
{{- end -}}

{{/* What Prometheus calls the job, by the way it scrapes. */}}
{{- define "reaper.selector" -}}
{{- $namespace := include "reaper.namespace" . -}}
{{- if .Values.prometheusRule.selector -}}
{{- .Values.prometheusRule.selector -}}
{{- else if .Values.podMonitor.enabled -}}
{{- printf `job="%s/%s",namespace="%s"` (default $namespace .Values.podMonitor.namespace) (include "reaper.fullname" .) $namespace -}}
{{- else -}}
{{- printf `job="%s",namespace="%s"` (include "reaper.fullname" .) $namespace -}}
{{- end -}}
{{- end -}}
