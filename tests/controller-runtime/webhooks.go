package main

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"umiak/tests/controller-runtime/api"
)

// webhooks defaults and validates boats.
type webhooks struct{}

var (
	_ admission.Defaulter[*api.Boat] = webhooks{}
	_ admission.Validator[*api.Boat] = webhooks{}
)

func (w webhooks) setUp(manager ctrl.Manager) error {
	return ctrl.NewWebhookManagedBy(manager, &api.Boat{}).WithDefaulter(w).WithValidator(w).Complete()
}

func (webhooks) Default(ctx context.Context, boat *api.Boat) error {
	if boat.Spec.Oars == nil {
		pair := int32(2)
		boat.Spec.Oars = &pair
	}
	request, err := admission.RequestFromContext(ctx)
	if err != nil {
		return err
	}
	if request.Operation == "CREATE" {
		if boat.Annotations == nil {
			boat.Annotations = map[string]string{}
		}
		boat.Annotations["harbour.example.com/builder"] = request.UserInfo.Username
	}
	return nil
}

func (webhooks) ValidateCreate(_ context.Context, boat *api.Boat) (admission.Warnings, error) {
	if *boat.Spec.Oars%2 != 0 {
		return nil, invalid(boat, field.Invalid(field.NewPath("spec", "oars"), *boat.Spec.Oars, "oars come in pairs"))
	}
	if *boat.Spec.Oars > 8 {
		return admission.Warnings{"spec.oars: that many need a drummer"}, nil
	}
	return nil, nil
}

func (w webhooks) ValidateUpdate(ctx context.Context, old, boat *api.Boat) (admission.Warnings, error) {
	if boat.Spec.Flag != old.Spec.Flag {
		return nil, invalid(boat, field.Forbidden(field.NewPath("spec", "flag"), "a boat keeps its flag"))
	}
	return w.ValidateCreate(ctx, boat)
}

func (webhooks) ValidateDelete(_ context.Context, boat *api.Boat) (admission.Warnings, error) {
	if boat.Annotations["harbour.example.com/moored"] == "true" {
		return nil, fmt.Errorf("%s is moored", boat.Name)
	}
	return nil, nil
}

func invalid(boat *api.Boat, errors ...*field.Error) error {
	return apierrors.NewInvalid(schema.GroupKind{Group: api.GroupVersion.Group, Kind: "Boat"}, boat.Name, errors)
}
