// Package pixel compares two pictures of a page. It is pure: no browser, no file, no clock.
package pixel

import (
	"image"
	"image/color"
)

// Difference is what two pictures differ in.
type Difference struct {
	Compared  int             // pixels that no mask covers
	Differing int             // of those
	Masked    int             // pixels that are not compared
	Box       image.Rectangle // around all that differ
}

// Percent is the share of the compared pixels that differ, 0 to 100. Where nothing was compared there is none, and it is 0:
// look at Compared first.
func (d Difference) Percent() float64 {
	if d.Compared == 0 {
		return 0
	}
	return float64(d.Differing) / float64(d.Compared) * 100
}

// Left is the share of the pixels that the masks leave to compare, 0 to 100. Where there are no pixels it is 0.
func (d Difference) Left() float64 {
	if d.Compared == 0 {
		return 0
	}
	return float64(d.Compared) / float64(d.Compared+d.Masked) * 100
}

// The kinds of pixel that a comparison finds.
type kind uint8

const (
	same kind = iota
	differs
	lone   // only one of the two has it: they differ in size
	masked // not looked at
)

// Compare counts the pixels that differ by more than tolerance in a channel (0 to 255). What only one of the pictures has
// differs, too. What a mask covers is not looked at.
func Compare(a, b *image.NRGBA, masks []image.Rectangle, tolerance uint8) Difference {
	var d Difference
	walk(a, b, masks, tolerance, func(x, y int, k kind) {
		if k == masked {
			d.Masked++
			return
		}
		d.Compared++
		if k != same {
			d.Differing++
			d.Box = d.Box.Union(image.Rect(x, y, x+1, y+1))
		}
	})
	return d
}

// The colours of a Picture. All but what is the same are more saturated than any faded pixel.
var (
	differsColour = color.NRGBA{R: 0xe0, A: 0xff}
	loneColour    = color.NRGBA{R: 0xe0, B: 0xe0, A: 0xff}
	maskedColour  = color.NRGBA{R: 0x60, G: 0x70, B: 0x80, A: 0xff}
)

// Picture draws what Compare counts: b faded, in red what differs, in magenta what only one of the two has, and solid grey
// what a mask covers.
func Picture(a, b *image.NRGBA, masks []image.Rectangle, tolerance uint8) *image.NRGBA {
	out := image.NewNRGBA(a.Rect.Union(b.Rect))
	walk(a, b, masks, tolerance, func(x, y int, k kind) {
		switch k {
		case same:
			out.SetNRGBA(x, y, faded(b.NRGBAAt(x, y)))
		case differs:
			out.SetNRGBA(x, y, differsColour)
		case lone:
			out.SetNRGBA(x, y, loneColour)
		case masked:
			out.SetNRGBA(x, y, maskedColour)
		}
	})
	return out
}

// Blank tells whether a picture shows nothing: all of it has one colour.
func Blank(p *image.NRGBA) bool {
	r := p.Rect
	if r.Empty() {
		return true
	}
	first := p.NRGBAAt(r.Min.X, r.Min.Y)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			if p.NRGBAAt(x, y) != first {
				return false
			}
		}
	}
	return true
}

// walk visits every pixel of either picture.
func walk(a, b *image.NRGBA, masks []image.Rectangle, tolerance uint8, visit func(x, y int, k kind)) {
	all := a.Rect.Union(b.Rect)
	covered := make([]bool, all.Dx()*all.Dy())
	at := func(x, y int) int { return (y-all.Min.Y)*all.Dx() + x - all.Min.X }
	for _, mask := range masks {
		mask = mask.Intersect(all)
		for y := mask.Min.Y; y < mask.Max.Y; y++ {
			for x := mask.Min.X; x < mask.Max.X; x++ {
				covered[at(x, y)] = true
			}
		}
	}
	for y := all.Min.Y; y < all.Max.Y; y++ {
		for x := all.Min.X; x < all.Max.X; x++ {
			p := image.Point{X: x, Y: y}
			k := same
			switch {
			case !p.In(a.Rect) && !p.In(b.Rect):
				continue // one is wider, the other higher: this is the corner between them
			case covered[at(x, y)]:
				k = masked
			case !p.In(a.Rect) || !p.In(b.Rect):
				k = lone
			case !alike(a.NRGBAAt(x, y), b.NRGBAAt(x, y), tolerance):
				k = differs
			}
			visit(x, y, k)
		}
	}
}

func alike(a, b color.NRGBA, tolerance uint8) bool {
	near := func(a, b uint8) bool { return max(a, b)-min(a, b) <= tolerance }
	return near(a.R, b.R) && near(a.G, b.G) && near(a.B, b.B) && near(a.A, b.A)
}

// faded mixes a colour with three parts of white.
func faded(c color.NRGBA) color.NRGBA {
	fade := func(v uint8) uint8 { return uint8((int(v) + 3*0xff) / 4) }
	return color.NRGBA{R: fade(c.R), G: fade(c.G), B: fade(c.B), A: 0xff}
}
