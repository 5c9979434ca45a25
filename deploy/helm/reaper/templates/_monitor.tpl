{{/* What ServiceMonitor and PodMonitor have in common. It is given root, kind, endpoints (the field's name) and of (the
section of the values). */}}
{{- define "reaper.monitor" -}}
{{- $component := include "reaper.serving" .root -}}
apiVersion: monitoring.coreos.com/v1
kind: {{ .kind }}
metadata:
  name: {{ include "reaper.fullname" .root }}
  namespace: {{ .of.namespace | default (include "reaper.namespace" .root) }}
  labels:
    {{- include "reaper.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ $component }}
    {{- with .of.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with include "reaper.annotations" (dict "root" .root) }}
  {{- . | nindent 2 }}
  {{- end }}
spec:
  {{- if .of.namespace }}
  namespaceSelector:
    matchNames: [{{ include "reaper.namespace" .root }}]
  {{- end }}
  selector:
    matchLabels:
      {{- include "reaper.selectorLabels" .root | nindent 6 }}
      app.kubernetes.io/component: {{ $component }}
  {{ .endpoints }}:
    - port: http
      path: /metrics
      interval: {{ .of.interval }}
      scrapeTimeout: {{ .of.scrapeTimeout }}
      {{- with .of.relabelings }}
      relabelings:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .of.metricRelabelings }}
      metricRelabelings:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end -}}
