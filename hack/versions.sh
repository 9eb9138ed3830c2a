# shellcheck shell=bash
# Pinned versions of everything that hack/ installs or builds. Sourced by lib.sh.
# hack/kube/kubernetes/go.mod names the same Kubernetes version.
# shellcheck disable=SC2034  # used by the scripts that source lib.sh
KIND_VERSION=v0.33.0
HELM_VERSION=v4.3.1
KIND_NODE_IMAGE=kindest/node:v1.34.3
KUBERNETES_VERSION=v1.34.4
KUBERNETES_COMMANDS="etcd kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubeadm kubelet kubectl"
DEBIAN_SUITE=trixie # has Python 3.13 and RabbitMQ 4.0
KEDA_VERSION=v2.21.0
PROMETHEUS_VERSION=v0.314.0 # the module's name of 3.14.0
