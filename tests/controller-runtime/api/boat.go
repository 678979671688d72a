// Package api holds the custom resource that the controller keeps: harbour.example.com/v1, Boat.
package api

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/scheme"
)

var (
	GroupVersion  = schema.GroupVersion{Group: "harbour.example.com", Version: "v1"}
	schemeBuilder = &scheme.Builder{GroupVersion: GroupVersion}
	AddToScheme   = schemeBuilder.AddToScheme
)

func init() { schemeBuilder.Register(&Boat{}, &BoatList{}) }

// Boat is laid out as kubebuilder lays out a kind.
type Boat struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              BoatSpec   `json:"spec,omitempty"`
	Status            BoatStatus `json:"status,omitempty"`
}

type BoatSpec struct {
	// Oars come in pairs; the defaulting webhook says 2.
	Oars *int32 `json:"oars,omitempty"`
	// Flag never changes.
	Flag string `json:"flag,omitempty"`
}

type BoatStatus struct {
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	Cargo              string             `json:"cargo,omitempty"`
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
}

type BoatList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Boat `json:"items"`
}

func (b *Boat) DeepCopy() *Boat {
	out := *b
	out.ObjectMeta = *b.ObjectMeta.DeepCopy()
	if b.Spec.Oars != nil {
		oars := *b.Spec.Oars
		out.Spec.Oars = &oars
	}
	out.Status.Conditions = nil
	for _, condition := range b.Status.Conditions {
		out.Status.Conditions = append(out.Status.Conditions, *condition.DeepCopy())
	}
	return &out
}

func (b *Boat) DeepCopyObject() runtime.Object { return b.DeepCopy() }

func (l *BoatList) DeepCopyObject() runtime.Object {
	out := *l
	l.ListMeta.DeepCopyInto(&out.ListMeta)
	out.Items = nil
	for i := range l.Items {
		out.Items = append(out.Items, *l.Items[i].DeepCopy())
	}
	return &out
}
