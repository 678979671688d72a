package main

import (
	"context"
	"os"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"umiak/tests/controller-runtime/api"
)

const finalizer = "harbour.example.com/farewell"

// reconciler keeps, for each boat, a ConfigMap that says what it is; and writes down which boats have gone.
type reconciler struct {
	client.Client
	recorder events.EventRecorder
}

func (r *reconciler) setUp(manager ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(manager).For(&api.Boat{}).Owns(&corev1.ConfigMap{}).Complete(r)
}

func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	boat := &api.Boat{}
	if err := r.Get(ctx, request.NamespacedName, boat); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !boat.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, r.farewell(ctx, boat)
	}
	if controllerutil.AddFinalizer(boat, finalizer) {
		return ctrl.Result{}, r.Update(ctx, boat)
	}

	cargo := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: boat.Namespace, Name: boat.Name + "-cargo"}}
	result, err := controllerutil.CreateOrUpdate(ctx, r.Client, cargo, func() error {
		cargo.Data = map[string]string{"oars": strconv.Itoa(int(*boat.Spec.Oars)), "writer": os.Getenv("POD_NAME")}
		return controllerutil.SetControllerReference(boat, cargo, r.Scheme())
	})
	if err != nil {
		return ctrl.Result{}, err
	}
	if result == controllerutil.OperationResultCreated {
		r.recorder.Eventf(boat, cargo, corev1.EventTypeNormal, "Loaded", "Load", "%s carries %s", boat.Name, cargo.Name)
	}

	before := boat.DeepCopy()
	boat.Status.ObservedGeneration = boat.Generation
	boat.Status.Cargo = cargo.Name
	meta.SetStatusCondition(&boat.Status.Conditions, metav1.Condition{
		Type: "Ready", Status: metav1.ConditionTrue, Reason: "Loaded", ObservedGeneration: boat.Generation,
	})
	return ctrl.Result{}, r.Status().Patch(ctx, boat, client.MergeFrom(before))
}

func (r *reconciler) farewell(ctx context.Context, boat *api.Boat) error {
	if !controllerutil.ContainsFinalizer(boat, finalizer) {
		return nil
	}
	log := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: boat.Namespace, Name: "departures"}}
	_, err := controllerutil.CreateOrUpdate(ctx, r.Client, log, func() error {
		if log.Data == nil {
			log.Data = map[string]string{}
		}
		log.Data[boat.Name] = string(boat.UID)
		return nil
	})
	if err != nil {
		return err
	}
	controllerutil.RemoveFinalizer(boat, finalizer)
	return r.Update(ctx, boat)
}
