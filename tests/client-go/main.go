// A program as others write them: client-go's typed clients, informers and metadata client, all in protobuf. It prints "ok" or ends with an error.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

const protobuf = "application/vnd.kubernetes.protobuf"

func check(err error, doing string) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", doing, err)
		os.Exit(1)
	}
}

func expect(ok bool, what string, got any) {
	if !ok {
		fmt.Fprintf(os.Stderr, "%s: got %+v\n", what, got)
		os.Exit(1)
	}
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	config, err := clientcmd.BuildConfigFromFlags("", os.Args[1])
	check(err, "kubeconfig")
	config.ContentType = protobuf
	config.AcceptContentTypes = protobuf // nothing else will do
	client, err := kubernetes.NewForConfig(config)
	check(err, "client")

	discovered(client)
	configMaps(ctx, client)
	others(ctx, client)
	pods(ctx, client)
	deployments(ctx, client)
	watched(ctx, client)
	onlyMetadata(ctx, config)
	fmt.Println("ok")
}

func discovered(client kubernetes.Interface) {
	lists, err := client.Discovery().ServerPreferredResources()
	check(err, "discovery")
	expect(len(lists) > 10, "groups", len(lists))
	document, err := client.Discovery().OpenAPISchema()
	check(err, "OpenAPI v2")
	expect(len(document.GetDefinitions().GetAdditionalProperties()) > 500, "definitions", len(document.GetDefinitions().GetAdditionalProperties()))
	for _, path := range document.GetPaths().GetPath() {
		if path.Name != "/api/v1/namespaces/{namespace}/pods/{name}" {
			continue
		}
		patch := path.Value.GetPatch()
		expect(len(patch.Consumes) == 4 && patch.OperationId == "patchCoreV1NamespacedPod", "patch", patch)
		expect(patch.Parameters[0].GetParameter().GetBodyParameter().GetSchema().XRef == "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.Patch", "body", patch.Parameters[0])
		expect(patch.Parameters[1].GetParameter().GetNonBodyParameter().GetQueryParameterSubSchema().Name == "dryRun", "parameter", patch.Parameters[1])
		expect(patch.Responses.ResponseCode[0].Value.GetResponse().GetSchema().GetSchema().XRef == "#/definitions/io.k8s.api.core.v1.Pod", "answer", patch.Responses)
		return
	}
	expect(false, "a path for pods", "none")
}

func configMaps(ctx context.Context, client kubernetes.Interface) {
	maps := client.CoreV1().ConfigMaps("default")
	made, err := maps.Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "c", Labels: map[string]string{"from": "go"}},
		Data:       map[string]string{"a": "ä", "empty": ""},
		BinaryData: map[string][]byte{"b": {0, 1, 255}},
	}, metav1.CreateOptions{})
	check(err, "create config map")
	expect(made.UID != "" && made.ResourceVersion != "" && !made.CreationTimestamp.IsZero(), "metadata", made.ObjectMeta)
	expect(made.Data["a"] == "ä" && len(made.BinaryData["b"]) == 3 && made.BinaryData["b"][2] == 255, "data", made)
	_, err = maps.Create(ctx, made, metav1.CreateOptions{})
	expect(err != nil, "create with a resourceVersion", err)
	made.ResourceVersion = ""
	_, err = maps.Create(ctx, made, metav1.CreateOptions{})
	expect(apierrors.IsAlreadyExists(err), "already exists", err)
	_, err = maps.Get(ctx, "none", metav1.GetOptions{})
	expect(apierrors.IsNotFound(err), "not found", err)
	_, err = maps.Patch(ctx, "c", types.StrategicMergePatchType, []byte(`{"data":{"p":"1"}}`), metav1.PatchOptions{})
	check(err, "patch")
	for i := 0; i < 7; i++ {
		_, err = maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "page-", Labels: map[string]string{"page": "y"}}}, metav1.CreateOptions{})
		check(err, "create page")
	}
	page, err := maps.List(ctx, metav1.ListOptions{LabelSelector: "page=y", Limit: 3})
	check(err, "list")
	expect(len(page.Items) == 3 && page.Continue != "" && page.ResourceVersion != "", "page", page.ListMeta)
	rest, err := maps.List(ctx, metav1.ListOptions{LabelSelector: "page=y", Continue: page.Continue})
	check(err, "list the rest")
	expect(len(rest.Items) == 4, "the rest", len(rest.Items))
	check(maps.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "page=y"}), "delete collection")
	uid := types.UID("wrong")
	err = maps.Delete(ctx, "c", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	expect(apierrors.IsConflict(err), "delete with a wrong uid", err)
	check(maps.Delete(ctx, "c", metav1.DeleteOptions{}), "delete")
}

func pods(ctx context.Context, client kubernetes.Interface) {
	zero, yes := int64(0), true
	pod, err := client.CoreV1().Pods("default").Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p"},
		Spec: corev1.PodSpec{
			ServiceAccountName:            "sa",
			TerminationGracePeriodSeconds: &zero,
			SecurityContext:               &corev1.PodSecurityContext{RunAsNonRoot: &yes},
			Volumes: []corev1.Volume{
				{Name: "e", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
				{Name: "s", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
					{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}}}}}}},
			},
			Containers: []corev1.Container{{
				Name: "c", Image: "busybox",
				Env: []corev1.EnvVar{{Name: "A", Value: ""}, {Name: "B", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
					LocalObjectReference: corev1.LocalObjectReference{Name: "m"}, Key: "k"}}}},
				Resources:      corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("64Mi")}},
				ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromString("web")}}},
				Ports:          []corev1.ContainerPort{{Name: "web", ContainerPort: 80}},
			}},
		},
	}, metav1.CreateOptions{})
	check(err, "create pod")
	expect(*pod.Spec.TerminationGracePeriodSeconds == 0 && *pod.Spec.SecurityContext.RunAsNonRoot, "pointers", pod.Spec)
	expect(pod.Spec.Volumes[0].EmptyDir != nil && pod.Spec.Volumes[1].Projected.Sources[0].ConfigMap.Name == "kube-root-ca.crt", "volumes", pod.Spec.Volumes)
	expect(pod.Spec.Containers[0].Env[1].ValueFrom.ConfigMapKeyRef.Name == "m", "env", pod.Spec.Containers[0].Env)
	expect(pod.Spec.Containers[0].ReadinessProbe.HTTPGet.Port.StrVal == "web", "probe", pod.Spec.Containers[0].ReadinessProbe)
	cpu := pod.Spec.Containers[0].Resources.Requests["cpu"]
	expect(cpu.MilliValue() == 100, "cpu", cpu)
	pod.Status.Phase = corev1.PodPending
	pod.Status.PodIPs = []corev1.PodIP{{IP: "10.0.0.1"}}
	pod, err = client.CoreV1().Pods("default").UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	check(err, "update status")
	expect(len(pod.Status.PodIPs) == 1, "status", pod.Status)
	check(client.CoreV1().Pods("default").Bind(ctx, &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Target: corev1.ObjectReference{Kind: "Node", Name: "n"}}, metav1.CreateOptions{}), "bind")
	check(client.CoreV1().Pods("default").Delete(ctx, "p", *metav1.NewDeleteOptions(0)), "delete pod")
}

func deployments(ctx context.Context, client kubernetes.Interface) {
	labels := map[string]string{"a": "b"}
	percent := intstr.FromString("30%")
	deployments := client.AppsV1().Deployments("default")
	made, err := deployments.Create(ctx, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "d"}, Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Strategy: appsv1.DeploymentStrategy{RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &percent}},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}}}, metav1.CreateOptions{})
	check(err, "create deployment")
	expect(*made.Spec.Replicas == 1 && made.Spec.Strategy.RollingUpdate.MaxSurge.StrVal == "30%" && made.Generation == 1, "defaults", made.Spec)
	scale, err := deployments.GetScale(ctx, "d", metav1.GetOptions{})
	check(err, "get scale")
	scale.Spec.Replicas = 0
	scale, err = deployments.UpdateScale(ctx, "d", scale, metav1.UpdateOptions{})
	check(err, "update scale")
	expect(scale.Spec.Replicas == 0, "scale", scale)
	made, err = deployments.Get(ctx, "d", metav1.GetOptions{})
	check(err, "get deployment")
	expect(*made.Spec.Replicas == 0, "zero replicas", made.Spec)
	check(deployments.Delete(ctx, "d", metav1.DeleteOptions{}), "delete deployment")
}

func others(ctx context.Context, client kubernetes.Interface) {
	_, err := client.CoreV1().ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "sa"}}, metav1.CreateOptions{})
	check(err, "create service account")
	seconds := int64(3600)
	token, err := client.CoreV1().ServiceAccounts("default").CreateToken(ctx, "sa", &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}, metav1.CreateOptions{})
	check(err, "token")
	expect(token.Status.Token != "" && !token.Status.ExpirationTimestamp.IsZero(), "token", token)
	review, err := client.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token.Status.Token}}, metav1.CreateOptions{})
	check(err, "token review")
	expect(review.Status.Authenticated && review.Status.User.Username == "system:serviceaccount:default:sa", "token review", review.Status)
	hpas := client.AutoscalingV2().HorizontalPodAutoscalers("default")
	_, err = hpas.Create(ctx, &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "h"}, Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
		MaxReplicas: 3, ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "d"}}}, metav1.CreateOptions{})
	check(err, "create autoscaler")
	v1, err := client.AutoscalingV1().HorizontalPodAutoscalers("default").Get(ctx, "h", metav1.GetOptions{})
	check(err, "autoscaler in its other version")
	expect(v1.Spec.MaxReplicas == 3, "autoscaler", v1.Spec)
	check(hpas.Delete(ctx, "h", metav1.DeleteOptions{}), "delete autoscaler")
}

func watched(ctx context.Context, client kubernetes.Interface) {
	secrets := client.CoreV1().Secrets("default")
	events := make(chan string, 10)
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace("default"))
	informer := factory.Core().V1().Secrets().Informer()
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { events <- "add " + string(o.(*corev1.Secret).Data["k"]) },
		UpdateFunc: func(_, o any) { events <- "update " + string(o.(*corev1.Secret).Data["k"]) },
		DeleteFunc: func(o any) { events <- "delete " + o.(metav1.Object).GetName() },
	})
	check(err, "handler")
	_, err = secrets.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "first"}, Data: map[string][]byte{"k": []byte("0")}}, metav1.CreateOptions{})
	check(err, "create secret")
	factory.Start(ctx.Done())
	expect(cache.WaitForCacheSync(ctx.Done(), informer.HasSynced), "informer synced", "not")
	made, err := secrets.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Data: map[string][]byte{"k": []byte("1")}}, metav1.CreateOptions{})
	check(err, "create secret")
	made.Data["k"] = []byte("2")
	_, err = secrets.Update(ctx, made, metav1.UpdateOptions{})
	check(err, "update secret")
	check(secrets.Delete(ctx, "s", metav1.DeleteOptions{}), "delete secret")
	for _, want := range []string{"add 0", "add 1", "update 2", "delete s"} {
		select {
		case got := <-events:
			expect(got == want, "event "+want, got)
		case <-ctx.Done():
			expect(false, "event "+want, "none")
		}
	}
	check(secrets.Delete(ctx, "first", metav1.DeleteOptions{}), "delete secret")
	_, err = client.CoreV1().Pods("").Watch(ctx, metav1.ListOptions{ResourceVersion: "999999999"})
	expect(apierrors.IsTimeout(err), "a watch from the future", err)
}

func onlyMetadata(ctx context.Context, config *rest.Config) {
	client, err := metadata.NewForConfig(config)
	check(err, "metadata client")
	list, err := client.Resource(corev1.SchemeGroupVersion.WithResource("namespaces")).List(ctx, metav1.ListOptions{})
	check(err, "metadata list")
	expect(len(list.Items) >= 4 && list.Items[0].UID != "", "metadata", list)
	one, err := client.Resource(corev1.SchemeGroupVersion.WithResource("namespaces")).Get(ctx, "default", metav1.GetOptions{})
	check(err, "metadata get")
	expect(one.Name == "default", "metadata", one)
}
