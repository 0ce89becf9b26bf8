{{- /* How servers are reached: with which certificates, by whom, and where they tell how they are. */ -}}
{{- define "penchant.refusals" -}}
{{- $jwks := or .Values.auth.jwt.configMapName .Values.auth.jwt.secretName -}}
{{- $callers := or .Values.auth.keysSecretName $jwks .Values.tls.clientCa -}}
{{- if and .Values.tls.clientCa (not .Values.tls.secretName) -}}
{{- fail "tls.clientCa names a key of tls.secretName, which is not set: set both." -}}
{{- end -}}
{{- if and .Values.auth.jwt.configMapName .Values.auth.jwt.secretName -}}
{{- fail "auth.jwt.configMapName and auth.jwt.secretName both bring a jwks.json: set one of them." -}}
{{- end -}}
{{- if and (or $jwks .Values.auth.jwt.issuer .Values.auth.jwt.audience) (not (and $jwks .Values.auth.jwt.issuer .Values.auth.jwt.audience)) -}}
{{- fail "Tokens are told by all three: set auth.jwt.issuer, auth.jwt.audience, and auth.jwt.configMapName or auth.jwt.secretName." -}}
{{- end -}}
{{- if not (or .Values.insecure (and .Values.tls.secretName $callers)) -}}
{{- fail "The servers can be reached by the whole cluster: set tls.secretName, and auth.keysSecretName, auth.jwt or tls.clientCa; or insecure=true where something else does both." -}}
{{- end -}}
{{- if and .Values.tls.secretName (not .Values.metrics.enabled) -}}
{{- fail "With TLS probes go over HTTP, for those of Kubernetes speak gRPC without it: set metrics.enabled=true." -}}
{{- end -}}
{{- end }}

{{- define "penchant.serving.environment" -}}
- { name: PENCHANT_WORKERS, value: {{ .Values.workers | quote }} }
- { name: PENCHANT_METRICS_LISTEN, value: {{ ternary "0.0.0.0:9464" "" .Values.metrics.enabled | quote }} }
{{- if .Values.insecure }}
- { name: PENCHANT_INSECURE, value: "true" }
{{- end }}
{{- if .Values.tls.secretName }}
- { name: PENCHANT_TLS_CERTIFICATE, value: /etc/penchant/tls/tls.crt }
- { name: PENCHANT_TLS_KEY, value: /etc/penchant/tls/tls.key }
{{- end }}
{{- with .Values.tls.clientCa }}
- { name: PENCHANT_TLS_CLIENT_CA, value: {{ printf "/etc/penchant/tls/%s" . | quote }} }
{{- end }}
{{- if .Values.auth.keysSecretName }}
- { name: PENCHANT_AUTH_KEYS, value: /etc/penchant/keys/keys.toml }
{{- end }}
{{- if .Values.auth.jwt.issuer }}
- { name: PENCHANT_JWT_JWKS, value: /etc/penchant/jwt/jwks.json }
- { name: PENCHANT_JWT_ISSUER, value: {{ .Values.auth.jwt.issuer | quote }} }
- { name: PENCHANT_JWT_AUDIENCE, value: {{ .Values.auth.jwt.audience | quote }} }
{{- end }}
{{- end }}

{{- /* Folders and not their files: Kubernetes renews what is mounted as a folder alone. */ -}}
{{- define "penchant.serving.mounts" -}}
{{- if .Values.tls.secretName }}
- { name: tls, mountPath: /etc/penchant/tls, readOnly: true }
{{- end }}
{{- if .Values.auth.keysSecretName }}
- { name: keys, mountPath: /etc/penchant/keys, readOnly: true }
{{- end }}
{{- if .Values.auth.jwt.issuer }}
- { name: jwt, mountPath: /etc/penchant/jwt, readOnly: true }
{{- end }}
{{- end }}

{{- define "penchant.serving.volumes" -}}
{{- with .Values.tls.secretName }}
- { name: tls, secret: { secretName: {{ . | quote }}, defaultMode: 0440 } }
{{- end }}
{{- with .Values.auth.keysSecretName }}
- { name: keys, secret: { secretName: {{ . | quote }}, defaultMode: 0440 } }
{{- end }}
{{- with .Values.auth.jwt.configMapName }}
- { name: jwt, configMap: { name: {{ . | quote }} } }
{{- end }}
{{- with .Values.auth.jwt.secretName }}
- { name: jwt, secret: { secretName: {{ . | quote }}, defaultMode: 0440 } }
{{- end }}
{{- end }}

{{- /* By name, the port at which each worker tells its metrics. */ -}}
{{- define "penchant.metrics" -}}
{{- if .Values.metrics.enabled }}
{{- range $number := until (int .Values.workers) }}
metrics{{ if $number }}-{{ add1 $number }}{{ end }}: {{ add 9464 $number }}
{{- end }}
{{- end }}
{{- end }}

{{- /* A probe of `path` over HTTP where there is that, else of the gRPC `service`. */ -}}
{{- define "penchant.probe" -}}
{{- if .root.Values.metrics.enabled -}}
httpGet: { path: {{ .path }}, port: metrics }
{{- else -}}
grpc: { port: 50051, service: {{ .service | quote }} }
{{- end }}
{{- end }}
